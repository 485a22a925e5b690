import asyncio
import math
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlaif.constitution.load import load_constitution
from rlaif.critic.ask import Critic, Replies
from rlaif.critic.judge import Judge
from rlaif.critic.jury import Jury
from rlaif.critic.pairs import ring
from rlaif.critic.store import VerdictStore
from rlaif.critic.templates import load_template
from rlaif.critic.verdict import Comparison
from rlaif.engines.base import Failure, FailureReason, Sampling
from rlaif.engines.scripted import ScriptedEngine
from rlaif.errors import UsageError
from rlaif.rl.rewards.critic import CriticReward, against_reference, alone, within_groups
from rlaif.rl.rewards.reference import ReferenceAnswers
from rlaif.rl.rewards.tally import failure_rate
from tests.critic.erratic import ErraticEngine, critics, row
from tests.rl.rewards.rollouts import rewarded, rollout

CONSTITUTION = """
name: test
version: 1
principles:
  - {id: kind, text: The response is kind., weight: 3}
  - {id: short, text: The response is short.}
  - {id: safe, text: The response is safe., gate: 0.9, when: {tags: [risky]}}
"""
SCORES = """
rules:
  - {when: "waffle", choose: {"1": 0.01, "9": 0.02}}
  - {when: "(?s)mumble.*is short", fail: refused}
  - {when: "(?s)evil.*is safe", choose: {"1": 1.0}}
  - {when: "(?s)good.*is kind", choose: {"9": 0.8}}
  - {when: "is kind", choose: {"1": 0.5}}
  - {when: "is short", choose: {"1": 0.25, "9": 0.25}}
  - {when: "is safe", choose: {"9": 0.9}}
"""
# "best" beats everything by kindness, "good" all but that; whatever stands first is favoured by .1. The rest is even.
PAIRS = """
rules:
  - {when: "(?s)mumble.*is kind", fail: refused}
  - {when: "(?s)<response_a>.best.*is kind", choose: {A: 0.8, B: 0.2}}
  - {when: "(?s)<response_b>.best.*is kind", choose: {A: 0.4, B: 0.6}}
  - {when: "(?s)<response_a>.good.*is kind", choose: {A: 0.8, B: 0.2}}
  - {when: "(?s)<response_b>.good.*is kind", choose: {A: 0.4, B: 0.6}}
  - {choose: {A: 0.5, B: 0.5}}
  - {generate: "plain"}
"""


class Counting(ScriptedEngine):
    asked = generated = 0

    async def choose(self, prompts, choices):
        self.asked += len(prompts)
        return await super().choose(prompts, choices)

    async def generate(self, prompts, sampling):
        self.generated += len(prompts)
        return await super().generate(prompts, sampling)


@pytest.fixture
def critic(tmp_path):
    def make(script: str, plan, how: str = "weighted", store: VerdictStore | None = None) -> CriticReward:
        (tmp_path / "s.yaml").write_text(script)
        (tmp_path / "c.yaml").write_text(CONSTITUTION)
        engine = Counting(tmp_path / "s.yaml")
        template = load_template("score" if plan is alone else "compare")
        judge = Judge(load_constitution(tmp_path / "c.yaml"), template, engine.identity, how)
        return CriticReward((Critic(engine, judge, store or unkept),), plan)

    with VerdictStore(tmp_path / "unkept.sqlite") as unkept:
        yield make


def close(found: torch.Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(found, torch.tensor(expected), equal_nan=True)


def test_scores_are_aggregated_over_principles_by_weight(critic):
    rewards = rewarded(critic(SCORES, alone), [rollout("good"), rollout("bad", group=1)])
    close(rewards.columns["principles/kind"], [1.0, -1.0])
    close(rewards.columns["principles/short"], [0.0, 0.0])
    close(rewards.columns["principles/safe"], [math.nan, math.nan])
    close(rewards.values, [0.75, -0.75])
    assert rewards.valid.all() and not rewards.failures and failure_rate(rewards) == 0


def test_a_gate_and_the_worst_principle_decide_as_in_labelling(critic):
    risky = [rollout("good evil", tags="risky"), rollout("good", group=1, tags="risky")]
    close(rewarded(critic(SCORES, alone), risky).values, [-1.0, 0.8])  # (3·1 + 0 + 1) / 5
    close(rewarded(critic(SCORES, alone, "worst"), risky).values, [-1.0, 0.0])


def test_failures_are_missing_and_counted_by_reason(critic):
    rewards = rewarded(critic(SCORES, alone), [rollout("waffle"), rollout("good mumble"), rollout("good")])
    close(rewards.values, [math.nan, 1.0, 0.75])
    assert rewards.valid.tolist() == [False, True, True]
    assert rewards.failures == {"label_mass_low": 1}
    close(rewards.columns["principles/short"], [math.nan, math.nan, 0.0])
    close(rewards.columns["failed"], [1.0, 0.5, 0.0])
    assert failure_rate(rewards) == pytest.approx(0.5)  # of verdicts, though only a third of the rewards is missing


def test_with_thirty_percent_failures_the_rest_is_as_without_them(critic):
    texts = [f"{'good' if number % 3 else 'bad'} {number}" for number in range(60)]
    whole = rewarded(critic(SCORES, alone), [rollout(text) for text in texts])
    failing = SCORES.replace("rules:\n", "rules:\n  - {fail: engine_error, rate: 0.3}\n")
    part = rewarded(critic(failing, alone), [rollout(text) for text in texts])
    assert 0.2 < part.columns["failed"].mean() < 0.4
    for name in ("principles/kind", "principles/short"):
        known = ~part.columns[name].isnan()
        assert 30 < known.sum() < 55
        close(part.columns[name][known], whole.columns[name][known].tolist())
    assert part.failures["engine_error"] == (~part.valid).sum() > 0
    assert part.values[~part.valid].isnan().all() and not part.values[part.valid].isnan().any()


def test_samples_of_a_prompt_are_compared_in_both_orders(critic):
    # Of each pair, kindness says .7 for its better one (order-averaged), short says .5; weights 3 and 1.
    better = (3 * 0.7 + 0.5) / 4
    group = [rollout("plain"), rollout("good"), rollout("best")]
    rewards = rewarded(critic(PAIRS, within_groups(None)), group)
    close(rewards.values, [1 - better, 0.5, better])
    close(rewards.columns["principles/kind"], [0.3, 0.5, 0.7])
    close(rewards.columns["principles/short"], [0.5, 0.5, 0.5])


def test_groups_do_not_mix_and_the_order_of_rollouts_does_not_matter(critic):
    rollouts = [rollout("plain"), rollout("best", group=1), rollout("good"), rollout("good", group=1)]
    source = critic(PAIRS, within_groups(None))
    forward, backward = rewarded(source, rollouts), rewarded(source, rollouts[::-1])
    assert forward.values.tolist() == pytest.approx(backward.values.flip(0).tolist())
    close(forward.columns["principles/kind"], [0.3, 0.7, 0.7, 0.3])
    assert forward.values[:2].sum() + forward.values[2:].sum() == pytest.approx(2.0)


def test_a_failed_comparison_is_missing_for_both(critic):
    rewards = rewarded(critic(PAIRS, within_groups(None)), [rollout("good"), rollout("plain mumble"), rollout("plain")])
    close(rewards.columns["principles/kind"], [0.7, math.nan, 0.3])
    close(rewards.columns["failed"], [1 / 4, 2 / 4, 1 / 4])
    assert rewards.valid.all()  # short still has its word


def test_a_single_sample_has_nobody_to_be_compared_with(critic):
    with pytest.raises(UsageError, match="--samples 2"):
        rewarded(critic(PAIRS, within_groups(None)), [rollout("a"), rollout("b", group=1)])


def test_the_same_question_is_asked_once(critic):
    source = critic(SCORES, alone)
    rewarded(source, [rollout("good")] * 5)
    assert source.critics[0].engine.asked == 2


def test_a_store_answers_what_was_asked_before(critic, tmp_path):
    with VerdictStore(tmp_path / "v.sqlite") as store:
        source = critic(SCORES, alone, store=store)
        first = rewarded(source, [rollout("good"), rollout("bad")])
        again = rewarded(source, [rollout("bad"), rollout("good"), rollout("new")])
        assert source.critics[0].engine.asked == 4 + 2
        close(again.values[:2], first.values.flip(0).tolist())


def test_against_the_reference_policys_answer(critic, tmp_path):
    with VerdictStore(tmp_path / "r.sqlite") as store:
        source = critic(PAIRS, None)
        reference = ReferenceAnswers(source.critics[0].engine, Sampling(16, 0.0), store)
        source = CriticReward(source.critics, against_reference(reference))
        rollouts = [rollout("good"), rollout("plain"), rollout("best", prompt="hello", group=1)]
        rewards = rewarded(source, rollouts)
        close(rewards.columns["principles/kind"], [0.7, 0.5, 0.7])
        assert source.critics[0].engine.generated == 2  # one answer to a prompt
        rewarded(source, rollouts)
        assert source.critics[0].engine.generated == 2


def test_where_the_reference_has_no_answer_there_is_no_reward(critic):
    async def answers(rows):
        return [Failure(FailureReason.TOO_LONG), "plain"]

    rewards = rewarded(critic(PAIRS, against_reference(answers)), [rollout("good"), rollout("good", group=1)])
    assert rewards.valid.tolist() == [False, True] and rewards.failures == {"too_long": 1}


def test_calls_may_overlap(critic):
    source = critic(SCORES, alone)

    async def both():
        return await asyncio.gather(source([rollout("good")]), source([rollout("bad")]))

    one, other = asyncio.run(both())
    close(torch.cat([one.values, other.values]), [0.75, -0.75])


@given(st.integers(2, 12), st.none() | st.integers(1, 12))
def test_in_a_ring_everybody_has_as_many_opponents(n, opponents):
    pairs = ring(n, opponents)
    assert len(set(pairs)) == len(pairs) and all(0 <= i < j < n for i, j in pairs)
    met = [sum(place in pair for pair in pairs) for place in range(n)]
    assert len(set(met)) == 1 and met[0] >= min(opponents or n, n - 1)
    if opponents is None:
        assert pairs == list(combinations(range(n), 2))
    else:
        assert met[0] <= opponents + 1


def labelled(store, members, texts, **how):
    """What labelling says of every pair of these texts by each principle, and what it asked for that."""
    jury, replies = Jury(critics(store, *members, **how)), Replies()
    pairs = list(combinations(range(len(texts)), 2))
    plans = [jury.plan(row(*texts), pair) for pair in pairs]
    asyncio.run(jury.ask(plans, replies))
    verdicts = jury.verdicts(plans, replies)
    return {pair: {principle.id: verdict for principle, verdict in jury.on_pair(verdicts, *pair)} for pair in pairs}


@pytest.mark.parametrize("failing", [0.0, 0.3])
@pytest.mark.parametrize(
    "how", [{}, {"form": "reasons"}, {"form": "reasons", "votes": 3, "reasons": Sampling(64, 0.7)}], ids=str
)
@pytest.mark.parametrize("size", [1, 2])
def test_a_reward_asks_and_reads_as_labelling_does(tmp_path, size, how, failing):
    members = [ErraticEngine(f"critic {number}", failing) for number in range(size)]
    texts = ["x", "y", "z", "x"]
    with VerdictStore(tmp_path / "v.sqlite") as store:
        labels = labelled(store, members, texts, **how)
        asked = sum(member.asked for member in members)
        source = CriticReward(critics(store, *members, **how), within_groups(None))
        rewards = rewarded(source, [rollout(text) for text in texts])
        assert sum(member.asked for member in members) == asked
    for name in ("kind", "short"):
        for index in range(len(texts)):
            sides = [
                verdicts[name] if pair[0] == index else isinstance(verdicts[name], Failure) or verdicts[name].swap()
                for pair, verdicts in labels.items()
                if index in pair
            ]
            values = [verdict.p for verdict in sides if isinstance(verdict, Comparison)]
            mean = sum(values) / len(values) if values else math.nan
            assert rewards.columns[f"principles/{name}"][index].item() == pytest.approx(mean, nan_ok=True)
    assert (rewards.columns["failed"] > 0).any() == (failing > 0)


def test_a_failed_rationale_is_missing_data(tmp_path):
    with VerdictStore(tmp_path / "v.sqlite") as store:
        cut, sound = ErraticEngine("cut", cut=True), ErraticEngine("sound")
        rollouts = [rollout("x"), rollout("y")]
        alone_cut = rewarded(CriticReward(critics(store, cut, form="reasons"), within_groups(None)), rollouts)
        assert not alone_cut.valid.any() and alone_cut.values.isnan().all() and alone_cut.failures == {"truncated": 2}
        close(alone_cut.columns["failed"], [1.0, 1.0])
        both = rewarded(CriticReward(critics(store, cut, sound, form="reasons"), within_groups(None)), rollouts)
        only = rewarded(CriticReward(critics(store, sound, form="reasons"), within_groups(None)), rollouts)
        close(both.values, only.values.tolist())
        close(both.columns["failed"], [0.5, 0.5])


def test_samples_that_are_the_same_are_a_tie_that_nobody_is_asked_about(critic):
    source = critic(PAIRS, within_groups(None))
    rewards = rewarded(source, [rollout("good"), rollout("good")])
    close(rewards.values, [0.5, 0.5])
    assert source.critics[0].engine.asked == 0 and failure_rate(rewards) == 0


def test_overlapping_batches_ask_the_same_question_once(critic):
    source = critic(SCORES, alone)

    async def both():
        return await asyncio.gather(source([rollout("good"), rollout("bad")]), source([rollout("bad"), rollout("good")]))

    one, other = asyncio.run(both())
    close(one.values, other.values.flip(0).tolist())
    assert source.critics[0].engine.asked == 4
