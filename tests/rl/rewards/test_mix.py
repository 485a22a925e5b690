import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlaif.errors import UsageError
from rlaif.rl.rewards.mix import Gate, MixReward, Part, mixed
from rlaif.rl.rewards.tally import FAILED, column, failure_rate, tally
from tests.rl.rewards.rollouts import rewarded, rollout

NAN = math.nan


class Table:
    """A source that looks its rewards up by text; it must never see what it has no entry for."""

    def __init__(self, **values):
        self.values = values

    async def __call__(self, rollouts):
        values = column([self.values[rollout.text] for rollout in rollouts])
        length = column([float(len(rollout.text)) for rollout in rollouts])
        return tally(values, {"length": length, FAILED: values.isnan().float()}, ["refused"] * len(rollouts))


def close(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected), equal_nan=True)


def test_the_total_is_the_mean_by_weight_and_every_source_has_its_columns():
    mix = MixReward([Part("a", Table(x=1.0, yy=0.0), 3.0), Part("b", Table(x=-1.0, yy=1.0))])
    rewards = rewarded(mix, [rollout("x"), rollout("yy")])
    close(rewards.values, [0.5, 0.25])
    close(rewards.columns["sources/a"], [1.0, 0.0])
    close(rewards.columns["sources/b/length"], [1.0, 2.0])
    assert not rewards.failures


def test_a_missing_part_is_missing_unless_it_is_optional():
    parts = [Part("a", Table(x=1.0, y=1.0, z=NAN)), Part("b", Table(x=0.0, y=NAN, z=0.0))]
    rewards = rewarded(MixReward(parts), [rollout(text) for text in "xyz"])
    close(rewards.values, [0.5, NAN, NAN])
    assert rewards.valid.tolist() == [True, False, False]
    assert rewards.failures == {"a: refused": 1, "b: refused": 1}
    assert failure_rate(rewards) == pytest.approx(2 / 3)
    optional = [parts[0], parts[1]._replace(optional=True)]
    close(rewarded(MixReward(optional), [rollout(text) for text in "xyz"]).values, [0.5, 1.0, NAN])


def test_a_veto_overrules_the_others_but_is_not_fired_by_silence():
    parts = [Part("help", Table(x=1.0, y=1.0, z=1.0)), Part("safe", Table(x=0.0, y=-0.6, z=NAN), 0.0, True, Gate(-0.5, -2.0))]
    rewards = rewarded(MixReward(parts), [rollout(text) for text in "xyz"])
    close(rewards.values, [1.0, -2.0, 1.0])
    close(rewards.columns["sources/safe/veto"], [0.0, 1.0, NAN])


def test_of_several_vetoes_the_lowest_stands_even_where_others_are_missing():
    parts = [
        Part("help", Table(x=NAN)),
        Part("a", Table(x=-1.0), 0.0, gate=Gate(0.0, -1.0)),
        Part("b", Table(x=-1.0), 0.0, gate=Gate(0.0, -3.0)),
    ]
    for order in (parts, parts[::-1]):
        close(rewarded(MixReward(order), [rollout("x")]).values, [-3.0])


def test_normalised_parts_count_alike_whatever_their_scale():
    small, large = Table(a=0.1, b=0.2, c=0.3), Table(a=500.0, b=100.0, c=300.0)
    rollouts = [rollout(text, group=4) for text in "abc"]
    mix = MixReward([Part("s", small), Part("l", large)], normalise=True)
    assert rewarded(mix, rollouts).values.tolist() == pytest.approx([0.0, -0.5, 0.5], abs=1e-3)
    plain = rewarded(MixReward([Part("s", small), Part("l", large)]), rollouts).values
    assert plain.argmax() == 0  # the large one alone decides


def test_a_value_without_another_in_its_group_cannot_be_normalised():
    parts = [Part("s", Table(a=0.1, b=NAN, c=1.0, d=2.0))]
    rollouts = [rollout("a"), rollout("b"), rollout("c", group=1), rollout("d", group=1)]
    assert rewarded(MixReward(parts, normalise=True), rollouts).valid.tolist() == [False, False, True, True]
    with pytest.raises(UsageError, match="--samples 2"):
        rewarded(MixReward(parts, normalise=True), [rollout("a"), rollout("c", group=1)])


def test_each_task_has_its_own_sources():
    facts, manners = Table(f=1.0, x=0.0), Table(m=0.5, x=1.0)
    mix = MixReward(
        [Part("facts", facts), Part("manners", manners)], tasks={"q": frozenset({"facts"}), "chat": frozenset({"manners"})}
    )
    rewards = rewarded(mix, [rollout("f", task="q"), rollout("m", group=1, task="chat"), rollout("x", group=2, task="other")])
    close(rewards.values, [1.0, 0.5, 0.5])
    close(rewards.columns["sources/facts"], [1.0, NAN, 0.0])
    close(rewards.columns["sources/manners/length"], [NAN, 1.0, 1.0])
    assert not rewards.failures


values = st.lists(st.floats(-10, 10) | st.just(NAN), min_size=3, max_size=3)


@given(values, st.lists(st.floats(0.1, 5), min_size=3, max_size=3), st.lists(st.booleans(), min_size=3, max_size=3))
def test_a_total_lies_between_its_parts(row, weights, optional):
    parts = [Part(str(at), Table(), weight, left) for at, (weight, left) in enumerate(zip(weights, optional, strict=True))]
    raw = torch.tensor([row])
    total = mixed(raw, raw, torch.ones(1, 3, dtype=torch.bool), parts).item()
    known = [value for value in row if not math.isnan(value)]
    if any(math.isnan(value) and not left for value, left in zip(row, optional, strict=True)) or not known:
        assert math.isnan(total)
    else:
        assert min(known) - 1e-4 <= total <= max(known) + 1e-4
