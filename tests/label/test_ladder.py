"""Many policies rated by a critic: who meets whom, when it stops, and that it continues."""

import json
from pathlib import Path

import pytest

from rlaif.cost import ladder_cost
from rlaif.errors import UsageError
from rlaif.label.config import LadderConfig
from rlaif.label.ladder import Ladder, climb, meetings, policies
from rlaif.settings import configure

CONSTITUTION = "name: t\nversion: 1\nprinciples:\n  - {id: right, text: The response is right.}\n"
WORDS = {"best": 0.75, "good": 0.7, "fair": 0.65}
SCRIPT = "rules:\n" + "".join(
    "  - {{when: '(?s)<response_{}>.{{0,2}}{}', choose: {{A: {}, B: {}}}}}\n".format(side, word, *odds)
    for word, p in WORDS.items()
    for side, odds in (("a", (p, 1 - p)), ("b", (1 - p, p)))
)


@pytest.fixture
def contest(tmp_path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "s.yaml").write_text(SCRIPT + "  - {choose: {A: 0.5, B: 0.5}}\n")
    for word in (*WORDS, "poor"):
        rows = [{"prompt": f"q{at}", "responses": [f"{word} {at}", f"{word} again {at}"]} for at in range(30)]
        (tmp_path / f"{word}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = {"critic": f"script:{tmp_path / 's.yaml'}", "constitution": tmp_path / "c.yaml", "store": tmp_path / "s.sqlite"}
    given = [f"{word}={tmp_path / word}.jsonl" for word in (*WORDS, "poor")]
    return lambda **settings: configure(LadderConfig, **{"policies": given, "out": tmp_path / "out", **asked, **settings})


def run_of(tmp_path):
    return json.loads((tmp_path / "out" / "run.json").read_text())


def test_the_order_is_found_and_every_comparison_is_kept(contest, tmp_path):
    found = climb(contest(budget=120))
    assert [rating.name for rating in found.rows] == ["best", "good", "fair", "poor"]
    assert found.facts[0].startswith("120 comparisons of 360")
    assert list(found.figures) == ["best", "good", "fair", "poor"] and found.figures["best"].low > 1000
    records = [json.loads(line) for line in (tmp_path / "out" / "preferences.jsonl").read_text().splitlines()]
    assert len({record["id"] for record in records}) == 120
    assert all(record["chosen_model"] != record["rejected_model"] for record in records)
    assert len({record["row"] for record in records}) == 30  # every prompt has been asked about


def test_it_continues_and_asks_nothing_twice(contest, tmp_path):
    climb(contest(budget=40))
    first = [json.loads(line)["id"] for line in (tmp_path / "out" / "preferences.jsonl").read_text().splitlines()]
    climb(contest(budget=90))
    both = [json.loads(line)["id"] for line in (tmp_path / "out" / "preferences.jsonl").read_text().splitlines()]
    assert both[:40] == first and len(both) == 90
    assert run_of(tmp_path)["counts"]["asked"] == 2 * 50


def test_it_stops_when_the_ratings_are_known_well_enough(contest, tmp_path):
    found = climb(contest(width=150))
    assert max(rating.high - rating.low for rating in found.rows) <= 150
    assert run_of(tmp_path)["counts"]["rows_in"] < 400


def test_what_it_would_cost(contest, tmp_path):
    cost = ladder_cost(contest(budget=50))
    assert (cost.prompts, cost.texts, cost.calls) == (60, 0, 100)
    assert ladder_cost(contest()).calls == 2 * 360
    models = {"policies": ["a", "b", str(tmp_path / "best.jsonl")], "source": str(tmp_path / "best.jsonl"), "limit": 4}
    cost = ladder_cost(contest(**models))
    assert (cost.prompts, cost.texts, cost.calls) == (4, 8, 2 * 12)
    with pytest.raises(UsageError, match="give --source"):
        ladder_cost(contest(policies=["a", "b"]))


@pytest.mark.parametrize(
    ("given", "said"), [(["a"], "two policies or more"), (["a", "a"], "NAME=… gives one another"), (["x=a", "x=b"], "x: two")]
)
def test_policies_that_cannot_be_told_apart_are_refused(contest, given, said):
    with pytest.raises(UsageError, match=said):
        policies(contest(policies=given))


def test_a_path_with_an_equals_sign_is_a_path(contest, tmp_path):
    (tmp_path / "lr=1.jsonl").write_text("{}")
    assert policies(contest(policies=[str(tmp_path / "lr=1.jsonl"), "b"])) == {
        str(tmp_path / "lr=1.jsonl"): str(tmp_path / "lr=1.jsonl"),
        "b": "b",
    }


def test_only_who_has_answered_meets(tmp_path):
    for name, rows in {"a": {"p": 2, "q": 1}, "b": {"p": 1}, "c": {"q": 2, "r": 1}}.items():
        lines = [{"prompt": prompt, "responses": [f"{name}{k}" for k in range(n)]} for prompt, n in rows.items()]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    met = list(meetings([tmp_path / f"{name}.jsonl" for name in "abc"], None))
    assert [(meeting.number, sorted(meeting.responses)) for meeting in met] == [(1, [0, 1]), (2, [0, 2])]
    ladder = Ladder(met, list("abc"), 100, None, 0)
    assert (ladder.total, ladder.possible) == (2, 2)


def test_nobody_to_meet_is_an_error(contest, tmp_path):
    (tmp_path / "other.jsonl").write_text('{"prompt": "elsewhere", "responses": ["x"]}\n')
    files = [str(Path(tmp_path / "best.jsonl")), str(tmp_path / "other.jsonl")]
    with pytest.raises(UsageError, match="no prompt has responses from two of them"):
        climb(contest(policies=files))
