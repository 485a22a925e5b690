"""The reward of a critic's own verdicts against an enumeration of what both orders may say."""

from __future__ import annotations

import asyncio
import itertools
import json
import math

import pytest

from rlaif.critic.config import CriticConfig
from rlaif.data.rows import Response, Row, Turn
from rlaif.errors import UsageError
from rlaif.rl.questions import KNOWN, PRINCIPLE
from rlaif.rl.rewards.base import Context
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.rewards.open import open_reward
from rlaif.rl.rewards.verdict import VerdictReward, consistent, open_verdict
from rlaif.rl.rollout import Query, Rollout
from rlaif.settings import configure
from tests.rl.rewards.rollouts import rewarded
from tests.train.test_generate import CONSTITUTION

RULES = """\
rules:
  - {when: "first is better", choose: {A: 0.6, B: 0.3}}
  - {when: "second is better", choose: {A: 0.3, B: 0.6}}
  - {when: "neither", choose: {A: 0.4, B: 0.4}}
  - {when: "hum", choose: {A: 0.02, B: 0.01}}
  - {when: "broken", fail: engine_error}
"""
SAYS = {"first is better": "A", "second is better": "B", "neither": "", "hum": "", "": "", "cut off": "", "broken": None}
"""The label that each rationale leads to; empty for a verdict that is none, None where the critic fails to answer."""


@pytest.fixture
def source(tmp_path):
    (tmp_path / "two.yaml").write_text(CONSTITUTION)
    (tmp_path / "rules.yaml").write_text(RULES)

    def opened(**options):
        given = {"critic": f"script:{tmp_path / 'rules.yaml'}", "constitution": tmp_path / "two.yaml"}
        critic = {**given, "store": tmp_path / "store.sqlite", **options}
        made.append(open_reward(configure(RewardConfig, reward="verdict", **critic), reference="lab:policy"))
        return made[-1]

    made = []
    yield opened
    for each in made:
        asyncio.run(each.close())


def question(group=0, known=0.9, principle="kind"):
    turns = [(Turn(role="assistant", content=text),) for text in ("Kind words.", "Rude words.")]
    extra = {PRINCIPLE: principle, KNOWN: known}
    row = Row(group + 1, str(group), (Turn(role="user", content="hi"),), tuple(map(Response, turns)), extra=extra)
    return Query(row, "", group, (1, 2), (1, 3))


def said(query, text):
    return Rollout(query, (5, 6), (0.0, 0.0), text, text != "cut off")


@pytest.mark.parametrize("known", [0.9, 0.2])
def test_both_orders_must_be_right(source, known):
    """Every pair of rationales: the right one names A in one order and B in the other."""
    cases = list(itertools.product(SAYS, SAYS))
    queries = [question(group, known) for group in range(len(cases))]
    rollouts = [
        said(order, text)
        for query, texts in zip(queries, cases, strict=True)
        for order, text in zip(query.orders, texts, strict=True)
    ]
    found = rewarded(source().source, rollouts)
    wanted_labels = ("A", "B") if known > 0.5 else ("B", "A")
    for case, texts in enumerate(cases):
        right = [None if SAYS[text] is None else SAYS[text] == label for text, label in zip(texts, wanted_labels, strict=True)]
        value = math.nan
        if False in right:
            value = 0.0
        elif None not in right:
            value = 1.0
        assert found.values[2 * case : 2 * case + 2].tolist() == pytest.approx([value] * 2, nan_ok=True), texts
        agreement = [math.nan if each is None else float(each) for each in right]
        assert found.columns["agreement"][2 * case : 2 * case + 2].tolist() == pytest.approx(agreement, nan_ok=True)
    assert (found.values == 1).sum() == 2
    assert sum(found.failures.values()) == found.values.isnan().sum() > 0


def test_the_samples_of_both_orders_are_taken_in_their_order(source):
    """Two samples each: the first ones are right in both orders, of the second ones only one."""
    query = question()
    texts = ["first is better", "first is better"], ["second is better", "first is better"]
    rollouts = [said(order, text) for order, said_of_it in zip(query.orders, texts, strict=True) for text in said_of_it]
    mixed = [rollouts[2], rollouts[0], rollouts[3], rollouts[1]]
    assert rewarded(source().source, rollouts).values.tolist() == [1, 0, 1, 0]
    assert rewarded(source().source, mixed).values.tolist() == [1, 1, 0, 0]


def test_each_principle_is_asked_about_in_its_own_words(source):
    class Engine:
        identity = "listens"
        notes = ()

        def check_choices(self, choices):
            pass

        async def choose(self, prompts, choices):
            self.heard = ["\n".join(message.text for message in prompt) for prompt in prompts]
            return await opened.critic.engine.choose(prompts, choices)

    opened = source().source
    assert isinstance(opened, VerdictReward)
    engine = Engine()
    listening = VerdictReward(opened.critic.__class__(engine, opened.critic.judge, opened.critic.store))
    query = question(principle="short")
    rewarded(listening, [said(query, "first is better"), said(query.turned(), "second is better")])
    one, other = engine.heard
    assert all("The response is short." in text and "is better" in text for text in (one, other))
    assert one.index("Kind words.") < one.index("Rude words.") and other.index("Rude words.") < other.index("Kind words.")


@pytest.mark.parametrize(("first", "second", "value"), [(1, 1, 1), (1, 0, 0), (0, None, 0), (None, 0, 0), (1, None, None)])
def test_consistent(first, second, value):
    assert consistent(first, second) == value


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"orders": "ab"}, "--orders"),
        ({"votes": 2}, "--votes"),
        ({"clamp": (0.4, 0.6)}, "--clamp"),
        ({"labels": "sampled"}, "--labels"),
        ({"critic": ("lab", "lab:fallible")}, "--critic"),
        ({"constitution": None}, "needs --constitution"),
    ],
)
def test_settings_that_play_no_part_are_refused(source, options, said):
    with pytest.raises(UsageError, match=said):
        source(**options)


def test_other_prompts_than_the_judges_are_refused(source, tmp_path):
    plain = Query(Row(1, "1", (), (), extra={KNOWN: 1.0}), "", 0, (1,))
    with pytest.raises(UsageError, match="the judge's own questions"):
        rewarded(source().source, [said(plain, "first is better"), said(plain, "first is better")])
    mix = {"sources": [{"id": "own", "kind": "verdict"}]}
    (tmp_path / "mix.yaml").write_text(json.dumps(mix))
    with pytest.raises(UsageError, match="no part of a mix"):
        open_reward(configure(RewardConfig, reward=str(tmp_path / "mix.yaml")), reference="lab:policy")
    with pytest.raises(UsageError, match="no policy here"):
        open_verdict(RewardConfig(critic=CriticConfig(constitution=tmp_path / "two.yaml")), Context(None, 8, None))


def test_without_a_critic_the_policy_as_it_was_reads_the_labels(source):
    facts = source(critic=()).facts
    assert facts["reward"] == "verdict" and facts["critic"].startswith("policy@")
