"""Two models compared by a critic: which responses meet, when it stops, and what is refused."""

import json

import pytest

from rlaif.errors import UsageError
from rlaif.label.config import WinRateConfig
from rlaif.label.win_rate import compare_models
from rlaif.settings import configure

CONSTITUTION = "name: t\nversion: 1\nprinciples:\n  - {id: right, text: The response is right.}\n"
SCRIPT = """
rules:
  - {when: "(?s)<response_a>.{0,2}good", choose: {A: 0.8, B: 0.2}}
  - {when: "(?s)<response_b>.{0,2}good", choose: {A: 0.4, B: 0.6}}
  - {choose: {A: 0.6, B: 0.4}}
"""


@pytest.fixture
def contest(tmp_path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "s.yaml").write_text(SCRIPT)

    def run(first, second, **settings):
        for name, samples in (("a", first), ("b", second)):
            rows = [{"prompt": prompt, "responses": responses} for prompt, responses in samples.items()]
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        asked = {"critic": f"script:{tmp_path / 's.yaml'}", "constitution": tmp_path / "c.yaml", "store": tmp_path / "s.sqlite"}
        given = {"model_a": str(tmp_path / "a.jsonl"), "model_b": str(tmp_path / "b.jsonl"), "out": tmp_path / "out"}
        return compare_models(configure(WinRateConfig, **given, **asked, **settings))

    return run


def test_the_nth_responses_to_a_prompt_meet(contest, tmp_path):
    overall, right = contest(
        {"p": ["good 1", "bad 2"], "q": ["good 3"], "only A": ["good"]}, {"q": ["bad 4"], "p": ["bad 5", "good 6", "bad 7"]}
    )
    pairs = [json.loads(line) for line in (tmp_path / "out-pairs.jsonl").read_text().splitlines()]
    assert [pair["id"] for pair in pairs] == ["1#0", "1#1", "2#0"]
    assert (overall.name, right.name) == ("overall", "right")
    assert (overall.wins, overall.ties, overall.losses, overall.prompts) == (2, 0, 1, 2)
    assert overall.share.value == pytest.approx((0.7 + 0.3 + 0.7) / 3)


def test_it_stops_when_the_interval_is_narrow_enough(contest, tmp_path):
    first, second = ({f"p{n}": [f"{word} {n}"] for n in range(350)} for word in ("good", "bad"))
    assert contest(first, second, width=0.9)[0].prompts == 100
    assert contest(first, second)[0].prompts == 350  # the same folder: an earlier look is its own
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["counts"]["cached"] == 200 and run["counts"]["asked"] == 500


def test_the_run_of_another_is_not_replaced(contest, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text(json.dumps({"kind": "label", "source": "mine.jsonl", "status": "finished"}))
    with pytest.raises(UsageError, match="--overwrite"):
        contest({"p": ["good"]}, {"p": ["bad"]})


def test_what_cannot_be_compared_is_refused(contest, tmp_path):
    with pytest.raises(UsageError, match="no prompt has a response from both"):
        contest({"p": ["good"]}, {"q": ["bad"]})
    with pytest.raises(UsageError, match="give --source"):
        compare_models(
            configure(
                WinRateConfig,
                model_a="nowhere",
                model_b="nobody",
                out=tmp_path / "out",
                critic=f"script:{tmp_path / 's.yaml'}",
                constitution=tmp_path / "c.yaml",
            )
        )
