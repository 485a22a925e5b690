"""By OpenRLHF's documented protocol; the package itself needs a GPU to install."""

import importlib.util
import json
import math

import pytest

import rlaif
from rlaif.integrations.openrlhf import reward_function, rewards

CONSTITUTION = "name: t\nversion: 1\nprinciples:\n  - {id: kind, text: Kind.}\n"
SCRIPT = """
rules:
  - {when: "mumble", fail: refused}
  - {when: "(?s)<response_a>.{0,3}good", choose: {A: 0.8, B: 0.2}}
  - {when: "(?s)<response_b>.{0,3}good", choose: {A: 0.2, B: 0.8}}
"""


@pytest.fixture
def given(tmp_path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "s.yaml").write_text(SCRIPT)
    script = f"script:{tmp_path / 's.yaml'}"
    store = str(tmp_path / "v.sqlite")
    named = {"constitution": str(tmp_path / "c.yaml"), "critic": script, "store": store}
    return {**named, "feedback": "group", "max_failure_rate": 1.0}


def test_samples_of_a_prompt_are_judged_together_and_what_fails_is_told(given):
    prompts = ["p", "q", "p", "q", "p"]
    queries = ["pgood", "qgood", "pbad", "qworse", "pmumble"]
    with rlaif.ConstitutionReward(**given) as reward:
        answer = rewards(reward, queries, prompts, [None] * 5)
    assert answer["rewards"] == pytest.approx([0.8, 0.8, 0.2, 0.2, 0.5])
    assert answer["scores"] == answer["rewards"]
    assert answer["extra_logs"]["missing"] == [0, 0, 0, 0, 1]
    assert math.isnan(answer["extra_logs"]["principles/kind"][4])
    with rlaif.ConstitutionReward(**given) as reward, pytest.raises(rlaif.UsageError, match="query 1 does not begin"):
        rewards(reward, ["x"], ["p"])


def test_a_file_holds_the_reward_function_that_openrlhf_loads(given, tmp_path):
    (tmp_path / "reward.py").write_text(
        f"from rlaif.integrations.openrlhf import reward_function\nreward_func = reward_function(**{json.dumps(given)})\n"
    )
    spec = importlib.util.spec_from_file_location("reward_func", tmp_path / "reward.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    answer = module.reward_func(["pgood", "pbad"], ["p", "p"], ["", ""])
    assert answer["rewards"].tolist() == pytest.approx([0.8, 0.2])
    assert answer["rewards"].shape == answer["scores"].shape == answer["extra_logs"]["missing"].shape == (2,)


def test_settings_are_checked_when_the_file_is_loaded(given):
    with pytest.raises(rlaif.UsageError, match="--feedbak: no such setting"):
        reward_function(feedbak="group", **given)
