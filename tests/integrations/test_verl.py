"""By verl's documented interface, the file loaded by path as verl does; the package itself needs a GPU to install."""

import importlib.util
from pathlib import Path

import pytest

import rlaif
from rlaif.integrations import verl

CONSTITUTION = "name: t\nversion: 1\nprinciples:\n  - {id: kind, text: Kind., when: {data_source: [chat]}}\n"
SCORES = 'rules: [{when: "mumble", fail: refused}, {when: "(?s)good.*Kind", choose: {"9": 0.9}}, {choose: {"1": 0.9}}]'
PAIRS = """
rules:
  - {when: "mumble", fail: refused}
  - {when: "(?s)<response_a>.{0,3}good", choose: {A: 0.8, B: 0.2}}
  - {when: "(?s)<response_b>.{0,3}good", choose: {A: 0.2, B: 0.8}}
"""


@pytest.fixture
def loaded():
    spec = importlib.util.spec_from_file_location("custom_module", Path(verl.__file__))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def settings(tmp_path):
    def write(script):
        (tmp_path / "c.yaml").write_text(CONSTITUTION)
        (tmp_path / "s.yaml").write_text(script)
        named = {"constitution": str(tmp_path / "c.yaml"), "critic": f"script:{tmp_path / 's.yaml'}"}
        return {**named, "store": str(tmp_path / "v.sqlite"), "max_failure_rate": 1.0}

    return write


def test_one_response_by_itself(loaded, settings):
    given = settings(SCORES)

    def score(text):
        return loaded.compute_score("chat", text, None, {"prompt": "hi"}, **given)

    with pytest.raises(rlaif.RunFailed, match="the first response has no reward"):
        score("mumble")
    assert score("good") == {"score": 1.0, "missing": 0.0}
    assert score("bad") == {"score": -1.0, "missing": 0.0}
    assert score("mumble") == {"score": 0.0, "missing": 1.0}


def test_a_batch_judges_the_samples_of_a_prompt_together(loaded, settings):
    turns = [{"role": "user", "content": "hi"}]
    results = loaded.compute_score_batch(
        ["chat"] * 3, ["good", "bad", "mumble"], [None] * 3, [{"prompt": turns}] * 3, feedback="group", **settings(PAIRS)
    )
    assert [result["score"] for result in results] == pytest.approx([0.8, 0.2, 0.5])
    assert [result["missing"] for result in results] == [0, 0, 1]


def test_a_row_without_a_prompt_is_told_what_to_do(loaded, settings):
    with pytest.raises(rlaif.UsageError, match="extra_info has no prompt"):
        loaded.compute_score("chat", "good", None, {}, **settings(SCORES))
