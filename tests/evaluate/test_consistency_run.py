"""A scripted policy asked in several wordings, and how its answers are told to be the same."""

import json
import math

import pytest

from rlaif.cost import consistency_cost
from rlaif.errors import RunFailed, UsageError
from rlaif.evaluate.config import ConsistencyConfig
from rlaif.evaluate.consistency_run import check_consistency
from rlaif.settings import configure

POLICY = """
rules:
  - {when: "other words", generate: "It is What, once more"}
  - {when: "colour", generate: "I think: the answer is RED."}
  - {when: "color", generate: "the answer is red"}
  - {when: "never", fail: refused}
  - {generate: "the answer is blue, I say"}
"""
CRITIC = """
rules:
  - {when: "(?si)red.*blue", choose: {"Yes": 0.2, "No": 0.8}}
  - {when: "(?si)blue.*red", choose: {"Yes": 0.3, "No": 0.7}}
  - {choose: {"Yes": 0.9, "No": 0.1}}
"""
ROWS = [
    {"prompt": "Which colour?", "rewordings": ["Which color?", "What hue?"], "kind": "a"},
    {"prompt": "Which color?", "rewordings": ["The colour?"], "kind": "a"},
    {"prompt": "What hue?", "kind": "b"},
    {"prompt": "never", "kind": "b"},
    {},
]


@pytest.fixture
def config(tmp_path):
    (tmp_path / "p.yaml").write_text(POLICY)
    (tmp_path / "c.yaml").write_text(CRITIC)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    given = {"model": f"script:{tmp_path / 'p.yaml'}", "source": str(tmp_path / "rows.jsonl"), "out": tmp_path / "run"}
    return lambda **settings: configure(ConsistencyConfig, **given, store=tmp_path / "s.sqlite", **settings)


def lines_of(tmp_path, name):
    return [json.loads(line) for line in (tmp_path / "run" / name).read_text().splitlines()]


def test_answers_are_exactly_the_same_or_not(config, tmp_path):
    (every,) = check_consistency(config()).rows
    assert (every.prompts, every.resampled.value, every.always.value) == (3, 1, pytest.approx(1 / 3))
    assert every.reworded.value == 0
    found = {line["id"]: line for line in lines_of(tmp_path, "answers.jsonl")}
    assert found["1"]["wordings"] == ["Which colour?", "Which color?", "What hue?"]
    assert [answer["wording"] for answer in found["1"]["answers"]] == [0, 0, 1, 1, 2, 2]
    assert found["1"]["same"][0] == [1, 1, 0, 0, 0, 0] and found["3"]["reworded"] is None
    assert {line["row"] for line in lines_of(tmp_path, "failures.jsonl")} == {4, 5}
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["counts"] == {"prompts": 3, "failed": 2} and run["figures"][0]["reworded"]["value"] == 0


def test_the_answer_in_a_response_can_be_named(config):
    a, b, every = check_consistency(config(answer=r"(?i)the answer is (\w+)", by="kind")).rows
    assert (a.name, a.reworded.value, b.name, b.reworded.value) == (
        "a",
        pytest.approx((1 / 3 + 1) / 2),
        "b",
        pytest.approx(math.nan, nan_ok=True),
    )
    assert every.wording.value == pytest.approx(1 - a.reworded.value)


def test_a_critic_tells_it_in_both_orders(config, tmp_path):
    settings = {"same": "critic", "critic": f"script:{tmp_path / 'c.yaml'}", "samples": 1}
    cost = consistency_cost(config(**settings))
    assert (cost.prompts, cost.unusable, cost.texts, cost.calls) == (4, 1, 7, 2 * (3 + 1))
    found = check_consistency(config(**settings))
    first = lines_of(tmp_path, "answers.jsonl")[0]
    assert first["same"] == [[1, 0.9, 0.25], [0.9, 1, 0.25], [0.25, 0.25, 1]]
    assert math.isnan(found.figures["resampled"].value) and found.figures["reworded"].value == pytest.approx(
        (1.4 / 3 + 0.9) / 2
    )
    with pytest.raises(UsageError, match="holds a run with"):
        check_consistency(config(**settings, orders="ab"))


def test_a_function_tells_it(config, tmp_path):
    (tmp_path / "v.py").write_text(
        "def red(row, response):\n    return None if 'hue' in row['prompt'] else 'red' in response.lower()\n"
    )
    found = check_consistency(config(same="verifier", verifier=f"{tmp_path / 'v.py'}:red"))
    assert found.figures["reworded"].value == pytest.approx((4 / 12 + 1) / 2)
    (tmp_path / "w.py").write_text("def broken(row, response):\n    raise ValueError('oh')\n")
    with pytest.raises(RunFailed, match="ValueError: oh"):
        check_consistency(config(same="verifier", verifier=f"{tmp_path / 'w.py'}:broken", overwrite=True))


def test_a_model_rewords_what_comes_with_one_wording(config, tmp_path):
    settings = {"reworder": f"script:{tmp_path / 'p.yaml'}", "rewordings": 3, "samples": 1}
    assert consistency_cost(config(**settings)).texts == 3 + 2 + (1 + 3) + (1 + 3) + 2 * 3
    found = check_consistency(config(**settings))
    reworded = {line["id"]: line["rewordings"] for line in lines_of(tmp_path, "rewordings.jsonl")}
    assert reworded == {"1": ROWS[0]["rewordings"], "2": ROWS[1]["rewordings"], "3": ["It is What, once more"]}
    assert found.rows[-1].prompts == 3
    given = {"model": settings["reworder"], "source": str(tmp_path / "run" / "rewordings.jsonl"), "out": tmp_path / "again"}
    again = configure(ConsistencyConfig, **given, samples=1, store=tmp_path / "s.sqlite")
    assert check_consistency(again).rows[-1].reworded.value == found.rows[-1].reworded.value


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"same": "critic"}, "--same critic needs --critic"),
        ({"same": "verifier"}, "--same verifier needs --verifier"),
        ({"verifier": "x.py:y"}, "--verifier needs --same verifier"),
        ({"critic": "lab"}, "--critic needs --same critic"),
        ({"same": "critic", "critic": "lab", "answer": "x"}, "--answer needs --same exact"),
        ({"answer": "("}, "no regular expression"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(config, settings, said):
    with pytest.raises(UsageError, match=said):
        check_consistency(config(**settings))


def test_one_answer_to_each_prompt_says_nothing(config, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "Which colour?"}\n')
    with pytest.raises(RunFailed, match="none of the 1 prompts has two answers"):
        check_consistency(config(samples=1))
    assert "give --samples 2, rewordings or --reworder" in lines_of(tmp_path, "failures.jsonl")[0]["detail"]
