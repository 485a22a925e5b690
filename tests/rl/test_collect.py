import asyncio
import math
from dataclasses import replace

import pytest
import torch

from rlaif.engines.base import FailureReason
from rlaif.rl.collect import Collected, collect, cut_at, join
from rlaif.rl.rewards.tally import tally
from rlaif.rl.rollout import Rewards


class Sampler:
    """Hands rollouts over in the batches given."""

    def __init__(self, batches, events):
        self._batches, self._events = batches, events

    async def sample(self, queries, n, temperature, seed):
        for number, batch in enumerate(self._batches):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self._events.append(f"sampled {number}")
            yield batch


def rewards(values, failures=None, **columns):
    values = torch.tensor(values)
    return Rewards(values, ~values.isnan(), {name: torch.tensor(each) for name, each in columns.items()}, failures or {})


def test_judging_begins_with_the_first_batch_and_answers_are_put_in_order(made_up):
    rollouts = made_up(6)
    events = []

    async def source(batch):
        events.append(f"asked {batch[0].query.group}")
        return rewards([float(one.query.group) for one in batch])

    found = asyncio.run(collect(Sampler([rollouts[2:], rollouts[:2]], events), source, [], 2, 1.0, 0, None))
    assert events == ["sampled 0", "asked 1", "sampled 1", "asked 0"]
    assert [one.query.group for one in found.rollouts] == [0, 0, 1, 1, 2, 2]
    assert found.rewards.values.tolist() == [0, 0, 1, 1, 2, 2]


def test_a_source_that_raises_ends_it_all(made_up):
    asked = []

    async def source(batch):
        asked.append(len(batch))
        if len(asked) == 2:
            raise RuntimeError("no more")
        await asyncio.sleep(60)

    rollouts = made_up(4)
    with pytest.raises(RuntimeError, match="no more"):
        asyncio.run(collect(Sampler([rollouts[:2], rollouts[2:]], []), source, [], 2, 1.0, 0, None))


def test_what_only_some_batches_have_is_missing_in_the_others():
    both = join([rewards([1.0, math.nan], {"refused": 1}, a=[0.1, 0.2]), rewards([2.0], {"refused": 2, "x": 1}, b=[0.3])])
    assert both.valid.tolist() == [True, False, True] and both.failures == {"refused": 3, "x": 1}
    assert both.columns["a"][:2].tolist() == pytest.approx([0.1, 0.2]) and both.columns["a"][2].isnan()
    assert both.columns["b"][:2].isnan().all() and both.columns["b"][2].item() == pytest.approx(0.3)


def test_a_response_is_cut_behind_the_token_before_it_is_judged(made_up):
    rollouts = made_up(4)
    token = rollouts[1].ids[0]
    judged = []

    async def source(batch):
        judged.extend(batch)
        return rewards([0.0] * len(batch))

    cut = cut_at(token, 0, lambda ids: f"text of {len(ids)}")
    found = asyncio.run(collect(Sampler([rollouts], []), source, [], 2, 1.0, 0, cut)).rollouts
    assert found == judged
    assert found[1].ids == (token,) and found[1].ended and found[1].text == "text of 1" and len(found[1].logprobs) == 1
    assert all(not one.ended for one in found if token not in one.ids)


def test_collected_rollouts_survive_a_checkpoint(made_up, tmp_path):
    rollouts = made_up(4)
    found = Collected(rollouts, rewards([0.1, math.nan, 0.3, 0.4], {"refused": 1}, a=[0.1, 0.2, 0.3, 0.4]), 1.0, 2.0)
    torch.save(found.state_dict(), tmp_path / "state.pt")
    queries = {one.query.row.number: one.query for one in rollouts}
    again = Collected.from_state_dict(torch.load(tmp_path / "state.pt", weights_only=True), queries)
    assert again.rollouts == rollouts and (again.sampling, again.waiting) == (1.0, 2.0)
    torch.testing.assert_close(again.rewards.values, found.rewards.values, equal_nan=True)
    assert again.rewards.failures == {"refused": 1} and torch.equal(again.rewards.columns["a"], found.rewards.columns["a"])


def test_of_a_judges_question_the_source_sees_both_orders_at_once(made_up, tmp_path):
    """Though the sampler hands them over one at a time; each goes into a checkpoint and comes back as it was."""
    one, other = (replace(made_up(4)[2 * group].query, other=(7, 7, group)) for group in range(2))
    batches = [[replace(made_up(2)[0], query=order)] for query in (other, one) for order in query.orders]
    seen = []

    async def source(batch):
        seen.append([(rollout.query.group, rollout.query.swapped) for rollout in batch])
        return rewards([float(rollout.query.swapped) for rollout in batch])

    found = asyncio.run(collect(Sampler(batches, []), source, [one, other], 1, 1.0, 0, None))
    assert seen == [[(0, False), (0, True), (1, False), (1, True)]]
    assert [rollout.query.ids for rollout in found.rollouts[1::2]] == [(7, 7, 0), (7, 7, 1)]
    queries = {query.row.number: query for query in (one, other)}
    assert Collected.from_state_dict(found.state_dict(), queries).rollouts == found.rollouts


def test_failures_of_a_source_survive_a_checkpoint(made_up, tmp_path):
    """The reasons are members of an enum, which a checkpoint must not hold."""
    values = torch.tensor([1.0, math.nan, 2.0, 3.0])
    found = Collected(made_up(4), tally(values, {}, [FailureReason.ENGINE_ERROR] * 4), 1.0, 2.0)
    torch.save(found.state_dict(), tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True)["rewards"]["failures"] == {"engine_error": 1}
