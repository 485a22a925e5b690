import asyncio
import math
import pickle

import pytest

import rlaif
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.rewards.open import open_reward
from rlaif.settings import configure
from tests.rl.rewards.rollouts import rollout

CONSTITUTION = """
name: t
version: 1
principles:
  - {id: kind, text: The response is kind., weight: 3}
  - {id: short, text: The response is short.}
  - {id: safe, text: The response is safe., when: {tags: [risky]}}
"""
SCORES = """
rules:
  - {when: "mumble", fail: refused}
  - {when: "(?s)good.*is kind", choose: {"9": 0.8}}
  - {when: "is kind", choose: {"1": 0.5}}
  - {when: "is short", choose: {"5": 0.5}}
  - {when: "is safe", choose: {"1": 0.5}}
"""
PAIRS = """
rules:
  - {when: "mumble", fail: refused}
  - {when: "(?s)<response_a>.{0,3}good", choose: {A: 0.9, B: 0.1}}
  - {when: "(?s)<response_b>.{0,3}good", choose: {A: 0.3, B: 0.7}}
  - {choose: {A: 0.6, B: 0.4}}
"""


@pytest.fixture
def make(tmp_path):
    made = []

    def reward(script=SCORES, **settings):
        (tmp_path / "c.yaml").write_text(CONSTITUTION)
        (tmp_path / "s.yaml").write_text(script)
        settings = {"store": tmp_path / "v.sqlite", "max_failure_rate": 1.0, **settings}
        made.append(rlaif.ConstitutionReward(tmp_path / "c.yaml", f"script:{tmp_path / 's.yaml'}", **settings))
        return made[-1]

    yield reward
    for each in made:
        each.close()


def test_failed_verdicts_are_missing_and_never_a_number(make):
    judged = make().judge(["hi"] * 3, ["good", "mumble", "bad"])
    assert judged.values == [pytest.approx(0.75), None, pytest.approx(-0.75)]
    assert judged.columns["principles/kind"] == [pytest.approx(1), None, pytest.approx(-1)]
    assert judged.columns["failed"] == [0, 1, 0]
    assert judged.failures == {"refused": 1}


def test_the_rewards_are_those_of_our_own_loop(make, tmp_path):
    texts, prompts = ["good", "bad", "mumble", "good"], ["p", "p", "q", "q"]
    for feedback, script in (("score", SCORES), ("group", PAIRS)):
        judged = make(script, feedback=feedback).judge(prompts, texts)
        config = configure(
            RewardConfig,
            critic=f"script:{tmp_path / 's.yaml'}",
            constitution=tmp_path / "c.yaml",
            feedback=feedback,
            store=tmp_path / "other.sqlite",
        )

        async def ours(config=config):
            opened = open_reward(config)
            groups = [0, 0, 1, 1]
            rollouts = [rollout(text, p, group) for text, p, group in zip(texts, prompts, groups, strict=True)]
            values = (await opened.source(rollouts)).values
            await opened.close()
            return values

        expected = [None if math.isnan(value) else value for value in asyncio.run(ours()).tolist()]
        assert judged.values == expected
        assert None in expected


def test_a_group_is_judged_together_in_whatever_order_it_comes(make):
    reward = make(PAIRS, feedback="group")
    apart = reward.judge(["p", "q", "p", "q"], ["good", "bad", "bad", "worse"])
    assert apart.values == [pytest.approx(0.8), pytest.approx(0.5), pytest.approx(0.2), pytest.approx(0.5)]
    named = reward.judge(["p"] * 4, ["good", "bad", "bad", "worse"], groups=["x", "y", "x", "y"])
    assert named.values == apart.values
    with pytest.raises(rlaif.UsageError, match="samples of one prompt"):
        reward.judge(["p", "q"], ["a", "b"])


def test_columns_reach_principles(make):
    judged = make().judge(["hi", "hi"], ["good", "good"], {"tags": [["risky"], None], "n": [1, 2]})
    assert judged.columns["principles/safe"] == [pytest.approx(-1), None]
    assert judged.values[0] < judged.values[1]


def test_it_stops_where_too_many_verdicts_fail(make):
    reward = make(max_failure_rate=0.5)
    assert reward.judge(["p"] * 60, ["mumble"] * 60).values == [None] * 60  # too few to say
    with pytest.raises(rlaif.RunFailed, match=r"100% of the verdicts on the last 120 .*max_failure_rate 0.5; .*refused 60"):
        reward.judge(["p"] * 60, ["mumble"] * 60)
    healthy = make(max_failure_rate=0.5)
    for _ in range(4):
        healthy.judge(["p"] * 60, ["good"] * 60)
    healthy.judge(["p"] * 60, ["mumble"] * 60)


def test_it_is_pickled_as_its_settings_and_works_in_a_running_loop(make):
    reward = make()
    expected = reward.judge(["hi"], ["good"])

    async def cell():
        return reward.judge(["hi"], ["good"]), await reward.ajudge(["hi"], ["good"])

    assert asyncio.run(cell()) == (expected, expected)
    with pickle.loads(pickle.dumps(reward)) as copy:
        assert copy.judge(["hi"], ["good"]) == expected


def test_a_mix_with_a_gate_is_a_reward_too(make, tmp_path):
    make()
    (tmp_path / "check.py").write_text("def long(row, response):\n    return float(len(response))\n")
    (tmp_path / "mix.yaml").write_text(
        "sources:\n"
        f"  - {{id: kind, kind: critic, critic: 'script:{tmp_path}/s.yaml', constitution: c.yaml, "
        f"store: {tmp_path}/v.sqlite, weight: 1, optional: true}}\n"
        "  - {id: long, kind: verifier, verifier: 'check.py:long', weight: 1, gate: {below: 4, value: -5}}\n"
    )
    with rlaif.ConstitutionReward(reward=str(tmp_path / "mix.yaml"), max_failure_rate=1.0) as reward:
        judged = reward.judge(["hi"] * 3, ["good", "bad", "mumble"])
    assert judged.values == [pytest.approx((0.75 + 4) / 2), -5, 6]
    assert judged.columns["sources/kind"][2] is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda reward: reward.judge(["a"], ["b", "c"]), "1 prompts and 2 responses"),
        (lambda reward: reward.judge(["a"], ["b"], {"tags": []}), "column tags: 0 values for 1"),
        (lambda reward: reward.judge([3], ["b"]), "response 1: prompt"),
    ],
)
def test_what_cannot_be_judged_is_said(call, message, make):
    with pytest.raises(rlaif.UsageError, match=message):
        call(make())
