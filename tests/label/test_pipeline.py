"""The labelling pipeline from rows to files, with the scripted engine."""

import json
from pathlib import Path

import pytest

from rlaif.data.read import read_rows
from rlaif.errors import RunFailed, UsageError
from rlaif.evaluate.quality import quality
from rlaif.label.config import LabelConfig
from rlaif.label.plan import dry_run
from rlaif.label.run import run_label
from rlaif.settings import configure

CONSTITUTION = """
name: test
version: 1
description: For tests.
aggregate: weighted
principles:
  - {id: kind, text: The response is kind.}
  - {id: short, text: The response is short., weight: 2.0}
  - {id: safe, text: The response is safe., when: {tags: [risky]}}
"""
SCRIPT = """
rules:
  - {when: "(?s)<response_a>.{0,20}good.*The response is kind", choose: {A: 0.8, B: 0.1}}
  - {when: "(?s)<response_b>.{0,20}good.*The response is kind", choose: {A: 0.2, B: 0.7}}
  - {when: "poison", fail: refused}
  - {when: "waffle", choose: {A: 0.01, B: 0.02}}
  - {choose: {A: 0.6, B: 0.3}}
"""
ROWS = [
    {"prompt": "hi", "responses": ["good", "bad"], "tags": ["risky"], "note": 7},
    {"prompt": "hello", "responses": ["bad one", "good one", "worst one"], "id": "mine"},
    {"prompt": "hey", "chosen": "good", "rejected": "bad", "tags": "plain"},
]


class Project:
    """A folder with a constitution, a script and rows, and one run over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.constitution(CONSTITUTION)
        self.script(SCRIPT)
        self.rows(ROWS)

    def constitution(self, text: str) -> None:
        (self.folder / "c.yaml").write_text(text)

    def script(self, text: str) -> None:
        (self.folder / "s.yaml").write_text(text)

    def rows(self, rows: list) -> None:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (self.folder / "rows.jsonl").write_text("\n".join(lines) + "\n")

    def config(self, **options) -> LabelConfig:
        defaults = {
            "source": str(self.folder / "rows.jsonl"),
            "constitution": self.folder / "c.yaml",
            "critic": f"script:{self.folder / 's.yaml'}",
            "out": self.folder / "run",
            "store": self.folder / "store.sqlite",
        }
        given = {**defaults, **options}
        given["critic"] = [given["critic"], *given.pop("jury", ())]
        return configure(LabelConfig, **given)

    def label(self, **options) -> dict:
        """A run in place of the one before, which may have been of another constitution, critic or source."""
        return run_label(self.config(**{"overwrite": True, **options}))["counts"]

    def read(self, name: str, run: str = "run") -> list[dict]:
        return [json.loads(line) for line in (self.folder / run / name).read_text().splitlines()]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_rows_become_preferences_with_soft_labels(project):
    counts = project.label()
    assert {name: counts[name] for name in ("rows_in", "rows_out", "rows_failed", "verdicts", "failed")} == {
        "rows_in": 3, "rows_out": 5, "rows_failed": 0, "verdicts": 3 + 3 * 2 + 2, "failed": 0,
    }  # fmt: skip
    first, *_, last = project.read("preferences.jsonl")
    assert first["chosen"] == [{"role": "assistant", "content": "good"}]
    assert first["prompt"] == [{"role": "user", "content": "hi"}]
    # kind: mean of 0.8/0.9 and 0.7/0.9; the other principles say A in both orders, so 0.5 with a gap.
    kind, short, safe = first["principles"]
    assert kind["p"] == pytest.approx((0.8 / 0.9 + 0.7 / 0.9) / 2, abs=1e-6)
    assert short["p"] == safe["p"] == 0.5
    assert short["gap"] == pytest.approx(0.6 / 0.9 - 0.3 / 0.9, abs=1e-6)
    assert first["p_chosen"] == pytest.approx((kind["p"] + 2 * 0.5 + 0.5) / 4, abs=1e-6)
    assert first["margin"] == pytest.approx(2 * first["p_chosen"] - 1, abs=1e-6)
    second = project.read("preferences.jsonl")[1]
    assert second["chosen_index"] == 1 and second["principles"][0]["p"] == pytest.approx(kind["p"], abs=1e-6)
    assert first["note"] == 7 and first["tags"] == ["risky"]
    assert last["gold"] == [{"id": "overall", "margin": 1.0}]


def test_the_pairs_of_many_responses(project):
    project.label()
    ids = [record["id"] for record in project.read("preferences.jsonl")]
    assert ids == ["1:0-1", "mine:0-1", "mine:0-2", "mine:1-2", "3:0-1"]
    assert project.label(pairs="adjacent", out=project.folder / "b")["rows_out"] == 4
    assert project.label(pairs="1", out=project.folder / "c")["rows_out"] == 3


def test_running_again_asks_nothing(project):
    first = project.label()
    before = (project.folder / "run" / "preferences.jsonl").read_bytes()
    again = project.label()
    assert first["asked"] == 2 * first["verdicts"] and first["cached"] == 0
    assert again["asked"] == 0 and again["cached"] == first["asked"]
    assert (project.folder / "run" / "preferences.jsonl").read_bytes() == before


def test_weights_gates_and_aggregation_ask_nothing(project):
    project.label()
    before = project.read("preferences.jsonl")
    project.constitution(CONSTITUTION.replace("weight: 2.0", "weight: 0.5, gate: 0.9"))
    assert project.label()["asked"] == 0
    assert project.read("preferences.jsonl") != before
    assert project.label(aggregate="worst")["asked"] == 0


def test_one_edited_wording_asks_that_principle_alone(project):
    counts = project.label()
    project.constitution(CONSTITUTION.replace("is short.", "is brief."))
    edited = project.label()
    assert edited["asked"] == 2 * 5  # five pairs in two orders
    assert edited["asked"] + edited["cached"] == counts["asked"]
    project.constitution(CONSTITUTION.replace("text: The response is kind.", "text: The response is kind., compare: Kinder?"))
    assert project.label()["asked"] == 2 * 5
    project.constitution(CONSTITUTION.replace("text: The response is kind.", "text: The response is kind., score: Kind?"))
    assert project.label()["asked"] == 0  # another mode's wording


def test_an_edited_template_asks_everything(project, tmp_path):
    from rlaif.critic.templates import default_folder

    counts = project.label()
    text = (default_folder() / "compare.yaml").read_text()
    (tmp_path / "compare.yaml").write_text(text.replace("Answer A or B.", "Say A or B."))
    assert project.label(prompts=tmp_path)["asked"] == counts["asked"]


def test_an_added_row_and_a_moved_row_ask_only_what_is_new(project):
    project.label()
    project.rows([{"prompt": "new", "responses": ["x", "y"]}, *reversed(ROWS)])
    assert project.label()["asked"] == 2 * 2


def test_equal_samples_are_asked_once(project):
    project.script("delay: 0.05\n" + SCRIPT)  # the first is still under way when the later chunks are planned
    project.rows([ROWS[0]] * 2000)
    counts = project.label()
    assert counts["asked"] == 6
    assert counts["cached"] == 6 * 1999
    records = project.read("preferences.jsonl")
    assert len(records) == 2000 and len({record["p_chosen"] for record in records}) == 1


def test_failures_are_listed_and_left_out_and_nothing_is_invented(project):
    project.rows([*ROWS, {"prompt": "x", "responses": ["poison", "y"]}, {"prompt": "z", "responses": ["waffle", "y"]}])
    counts = project.label(max_failure_rate=1.0)
    assert counts["rows_out"] == 5 and counts["unjudged"] == 2 and counts["failed"] == 4
    failures = project.read("failures.jsonl")
    assert [(entry["row"], entry["principle"], entry["reason"]) for entry in failures] == [
        (4, "kind", "refused"), (4, "short", "refused"), (5, "kind", "label_mass_low"), (5, "short", "label_mass_low"),
    ]  # fmt: skip
    assert all(entry["pair"] == [0, 1] for entry in failures)


def test_a_principle_that_fails_leaves_the_label_to_the_others(project):
    project.script(SCRIPT.replace('when: "poison"', 'when: "is short"'))
    project.label(max_failure_rate=1.0)
    first = project.read("preferences.jsonl")[0]
    kind, short, safe = first["principles"]
    assert short["p"] is None and short["failure"] == "refused"
    assert first["p_chosen"] == pytest.approx((kind["p"] + safe["p"]) / 2, abs=1e-6)


def test_passing_failures_are_asked_again_and_lasting_ones_are_not(project):
    project.script("rules: [{fail: engine_error, rate: 0.5}, {choose: {A: 0.9, B: 0.1}}]")
    first = project.label(max_failure_rate=1.0)
    again = project.label(max_failure_rate=1.0)
    assert 0 < again["asked"] < first["asked"]
    project.script("rules: [{fail: too_long, rate: 0.5}, {choose: {A: 0.9, B: 0.1}}]")
    project.label(max_failure_rate=1.0)
    assert project.label(max_failure_rate=1.0)["asked"] == 0


def test_too_many_failures_stop_the_run_and_say_why(project):
    project.rows([{"prompt": f"p{i}", "responses": ["a", "b"]} for i in range(5000)])
    project.script("rules: [{fail: refused, rate: 0.5}, {choose: {A: 0.9, B: 0.1}}]")
    with pytest.raises(RunFailed, match=r"--max-failure-rate 0\.2"):
        project.label()
    run = json.loads((project.folder / "run" / "run.json").read_text())
    assert run["status"] == "failed" and run["counts"]["rows_in"] < 5000
    assert project.read("failures.jsonl")
    assert not (project.folder / "run" / "preferences.jsonl").exists()


def test_bad_rows_are_listed_with_their_line_and_the_run_goes_on(project):
    project.rows([ROWS[0], "{broken", {"prompt": "x"}, {"prompt": "x", "responses": ["one"]}, {"responses": [1, 2]}, ROWS[2]])
    counts = project.label()
    assert counts["rows_in"] == 6 and counts["rows_out"] == 2 and counts["rows_failed"] == 4
    failures = project.read("failures.jsonl")
    assert [entry["row"] for entry in failures] == [2, 3, 4, 5]
    assert {entry["reason"] for entry in failures} == {"bad_row"}


def test_what_the_dataset_says_of_each_response_rides_along(project):
    responses = [{"text": "good", "model": "m1", "index": 4}, {"text": "bad", "model": "m2", "gold": {"kind": 0.2}}]
    project.rows([{"prompt": "x", "responses": responses, "critic": "someone", "p_chosen": 3}])
    project.label()
    (record,) = project.read("preferences.jsonl")
    assert record["chosen_model"] == "m1" and record["rejected_model"] == "m2"
    assert record["row_chosen_index"] == 4 and record["chosen_index"] == 0
    assert record["row_critic"] == "someone" and record["row_p_chosen"] == 3
    assert record["gold"] == []


def test_gold_of_both_responses_becomes_margins(project):
    gold = {"kind": 0.2, "short": 0.9, "safe": 0.5}
    responses = [{"text": "bad", "gold": gold}, {"text": "good", "gold": {"kind": 0.8, "short": 0.9, "safe": 0.0}}]
    project.rows([{"prompt": "x", "responses": responses}])
    project.label()
    (record,) = project.read("preferences.jsonl")
    margins = {entry["id"]: entry["margin"] for entry in record["gold"]}
    sign = 1 if record["chosen_index"] == 1 else -1
    # `safe` does not apply to a row without the tag, so overall is over kind (weight 1) and short (weight 2).
    assert margins == pytest.approx({"kind": 0.6 * sign, "short": 0.0, "safe": -0.5 * sign, "overall": 0.2 * sign})


def test_a_run_without_any_verdict_fails(project):
    project.rows([{"prompt": "x"}, {"prompt": "y"}])
    with pytest.raises(RunFailed, match="none of the 2 rows"):
        project.label()


def test_a_row_that_no_principle_is_about_is_listed(project):
    project.constitution(
        CONSTITUTION.replace("principles:", "principles:").replace(
            "  - {id: kind, text: The response is kind.}\n  - {id: short, text: The response is short., weight: 2.0}\n", ""
        )
    )
    counts = project.label()
    assert counts["rows_out"] == 1 and counts["rows_failed"] == 2
    assert "no principle" in project.read("failures.jsonl")[0]["detail"]


def test_sampled_mode_asks_one_principle_per_pair(project):
    project.rows([{"prompt": f"p{i}", "responses": ["a", "b"]} for i in range(300)])
    counts = project.label(aggregate="sampled")
    assert counts["verdicts"] == 300 and counts["asked"] == 600
    drawn = [record["principles"][0]["id"] for record in project.read("preferences.jsonl")]
    assert drawn.count("short") / 300 == pytest.approx(2 / 3, abs=0.1)
    assert project.label(aggregate="sampled")["asked"] == 0


def test_sampled_scores_of_one_row_are_by_one_principle(project):
    project.rows([{"prompt": f"p{i}", "responses": ["a", "b", "c"]} for i in range(60)])
    project.script("rules: [{choose: {'5': 1.0}}]")
    project.label(mode="score", aggregate="sampled")
    drawn = {}
    for record in project.read("scores.jsonl"):
        drawn.setdefault(record["row"], set()).add(record["principles"][0]["id"])
    assert all(len(names) == 1 for names in drawn.values())
    assert set.union(*drawn.values()) == {"kind", "short"}


def test_score_mode_scores_responses_and_prefers_by_them(project):
    high, low = "{'8': 0.5, '9': 0.5}", "{'1': 0.9}"
    project.script(f"rules: [{{when: '(?s)<response>.{{0,2}}good', choose: {high}}}, {{choose: {low}}}]")
    counts = project.label(mode="score", out=project.folder / "scored")
    assert counts["verdicts"] == 2 * 3 + 3 * 2 + 2 * 2 and counts["asked"] == counts["verdicts"]
    scores = project.read("scores.jsonl", "scored")
    assert [record["score"] for record in scores] == [0.875, -1.0, -1.0, 0.875, -1.0, 0.875, -1.0]
    assert scores[2]["id"] == "mine:0" and scores[2]["response"][0]["content"] == "bad one"
    preferences = project.read("preferences.jsonl", "scored")
    assert [(r["id"], r["p_chosen"]) for r in preferences] == [
        ("1:0-1", 1.0), ("mine:0-1", 1.0), ("mine:0-2", 0.5), ("mine:1-2", 1.0), ("3:0-1", 1.0),
    ]  # fmt: skip
    assert preferences[1]["chosen"][0]["content"] == "good one"


def test_prompts_alone_are_answered_by_a_policy(project):
    project.rows([{"prompt": f"p{i}"} for i in range(5)])
    project.script(SCRIPT.replace("{A: 0.6, B: 0.3}}", "{A: 0.6, B: 0.3}, generate: Sure.}"))
    counts = project.label(policy=f"script:{project.folder / 's.yaml'}", samples=3)
    assert counts["rows_out"] == 15
    assert project.read("preferences.jsonl")[0]["chosen"] == [{"role": "assistant", "content": "Sure."}]
    assert project.label(policy=f"script:{project.folder / 's.yaml'}", samples=3)["asked"] == 0


def test_rows_that_have_responses_keep_them_beside_a_policy(project):
    project.rows([{"prompt": "x", "responses": ["mine", "own"]}, {"prompt": "y"}])
    project.script(SCRIPT.replace("{A: 0.6, B: 0.3}}", "{A: 0.6, B: 0.3}, generate: Sure.}"))
    project.label(policy=f"script:{project.folder / 's.yaml'}")
    said = [{record[side][0]["content"] for side in ("chosen", "rejected")} for record in project.read("preferences.jsonl")]
    assert said == [{"mine", "own"}, {"Sure."}]


def test_a_dry_run_says_what_would_be_asked_and_asks_nothing(project):
    plan = dry_run(project.config())
    assert (plan.rows, plan.verdicts, plan.questions, plan.cached) == (3, 11, 22, 0)
    assert plan.tokens > 22 * 20
    assert "The response is kind." in plan.prompt and "<response_a>" in plan.prompt
    assert not (project.folder / "run").exists()
    assert project.label()["asked"] == plan.questions
    assert dry_run(project.config()).cached == 22


@pytest.mark.parametrize("schedule", ["swiss", "active"])
def test_a_dry_run_counts_all_rounds_and_canaries(project, schedule):
    project.constitution(CONSTITUTION + "  - {id: c, text: C., examples: [{prompt: p, better: b, worse: w}]}\n")
    project.rows([{"prompt": "p", "responses": [f"r{i}" for i in range(6)]}, {"prompt": "q", "responses": ["a", "b", "c"]}])
    options = {"pairs": schedule, "canaries": 1}
    plan = dry_run(project.config(**options))
    assert plan.rows == 2
    assert plan.questions == project.label(**options)["asked"]


def test_what_an_earlier_run_left_is_never_taken_for_this_ones(project):
    project.label(export=("sft", "unpaired"))
    first = project.read("preferences.jsonl")
    project.script("rules: [{fail: refused}]")
    with pytest.raises(UsageError, match="another critic"):
        project.label(overwrite=False)
    assert project.read("preferences.jsonl") == first
    with pytest.raises(RunFailed):
        project.label()
    for read in (quality, lambda folder: read_rows(str(folder))):
        with pytest.raises(UsageError, match="has not finished; its last start failed"):
            read(project.folder / "run")
    project.script(SCRIPT)
    project.label(export=("sft",))
    assert (project.folder / "run" / "sft.parquet").exists()
    assert not list((project.folder / "run").glob("unpaired*"))
    (project.folder / "run" / "mine.jsonl").touch()
    project.label(overwrite=True, limit=1)
    assert not list((project.folder / "run").glob("sft*")) and (project.folder / "run" / "mine.jsonl").exists()


def test_another_source_does_not_overwrite_a_run(project):
    project.label()
    (project.folder / "other.jsonl").write_text((project.folder / "rows.jsonl").read_text())
    with pytest.raises(UsageError, match=r"holds a run with source .*rows\.jsonl"):
        project.label(source=str(project.folder / "other.jsonl"), overwrite=False)
    (project.folder / "run" / "scores.jsonl").write_text("{}")
    assert project.label(source=str(project.folder / "other.jsonl"), overwrite=True)["asked"] == 0
    assert not (project.folder / "run" / "scores.jsonl").exists()


def test_a_folder_in_use_is_refused(project):
    from rlaif.data.run_folder import RunFolder

    with RunFolder(project.folder / "run", {"kind": "label"}) as held:
        held.write("running", {})
        with pytest.raises(UsageError, match="in use by process"):
            project.label()


def test_the_run_says_what_it_was(project):
    run_label(project.config())
    run = json.loads((project.folder / "run" / "run.json").read_text())
    assert run["status"] == "finished" and run["critic"].startswith("script@")
    assert run["constitution"]["name"] == "test" and run["constitution"]["digest"]
    assert run["counts"]["asked"] == 22 and run["versions"]["torch"] and run["template"]["digest"]


def test_rows_come_out_in_input_order_whatever_the_engine_does(project):
    project.rows([{"prompt": f"p{i}", "responses": [f"a{i}", "b"]} for i in range(3000)])
    project.label()
    assert [record["row"] for record in project.read("preferences.jsonl")] == list(range(1, 3001))


@pytest.mark.parametrize(("ahead", "letters", "chunks"), [(0, None, 4), (8 * 512, None, 8), (8 * 512, 1, 1)])
def test_reading_stays_a_bounded_way_ahead_of_writing(project, monkeypatch, ahead, letters, chunks):
    """In questions, of which an engine may ask for more, and in the texts that they hold."""
    import asyncio

    from rlaif.label import pipeline

    monkeypatch.setattr(pipeline, "MOST_LETTERS", letters or pipeline.MOST_LETTERS)
    from rlaif.constitution.load import load_constitution
    from rlaif.critic.ask import Critic
    from rlaif.critic.judge import Judge
    from rlaif.critic.store import VerdictStore
    from rlaif.critic.templates import load_template
    from rlaif.data.rows import Response, Row
    from rlaif.engines.scripted import ScriptedEngine
    from rlaif.label.pipeline import CHUNK_QUESTIONS, Counts, Labeller, Sink

    read, written, furthest = 0, 0, 0

    def rows():
        nonlocal read
        for number in range(1, 6001):
            read += 1
            replies = [Response(({"role": "assistant", "content": f"{number} {side}"},)) for side in "ab"]
            yield Row(number, str(number), ({"role": "user", "content": "q"},), tuple(replies))

    class Writer:
        def write(self, record):
            nonlocal written, furthest
            written += 1
            furthest = max(furthest, read - written)

    engine = ScriptedEngine(project.folder / "s.yaml")
    engine.ahead = ahead
    judge = Judge(load_constitution(project.folder / "c.yaml"), load_template("compare"), engine.identity)
    counts = Counts()
    with VerdictStore(project.folder / "store.sqlite") as store:
        sink = Sink(Writer(), Writer(), None, lambda counts: None)
        asyncio.run(Labeller((Critic(engine, judge, store),)).run(rows(), sink, counts))
    assert written == counts.rows_out == 6000
    in_a_chunk = CHUNK_QUESTIONS / 4  # each row counts, and so do its questions
    assert (chunks - 1) * in_a_chunk < furthest <= (chunks + 2) * in_a_chunk
