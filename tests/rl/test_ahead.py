import asyncio

import torch

from tests.rl.conftest import by_length


def test_rollouts_of_the_next_step_are_sampled_while_this_one_learns(loop):
    orders = {}
    for ahead in (0, 1):
        this = loop(**{"async": ahead}, steps=3)
        learn, events = this.parts.learner.update, this.parts.sampler.events

        def noted(*given, learn=learn, events=events):
            events.append("learn")
            return learn(*given)

        this.parts.learner.update = noted
        asyncio.run(this.run())
        orders[ahead] = [event.split(" at")[0] for event in events]
        seeds = [int(event.split()[1]) for event in events if event.startswith("sample")]
        assert seeds == [1, 2, 3]
    assert orders[False] == ["sample 1", "learn", "update", "sample 2", "learn", "update", "sample 3", "learn", "update"]
    started = orders[True]
    assert started.index("update") < started.index("learn")  # weights are taken before the update that changes them
    assert started.count("update") == 2 and started.index("sample 2") < len(started) - started[::-1].index("learn")


def test_rollouts_are_as_old_as_is_allowed_and_no_older_whoever_is_faster(loop):
    """Step t samples from the weights after step t − 2 although its rewards take long, and prompts come in the same order."""

    def run(slow):
        async def source(rollouts):
            await asyncio.sleep(slow)
            return await by_length(rollouts)

        this = loop(source=source, steps=6, **{"async": 2})
        events, update = this.parts.sampler.events, this.parts.learner.update
        this.parts.learner.update = lambda *given: (events.append("learn"), update(*given))[1]
        asyncio.run(this.run())
        return this

    one, other = run(0.0), run(0.03)
    for this in (one, other):
        events = [event.split(" at")[0] for event in this.parts.sampler.events]
        taken = {}
        for place, event in enumerate(events):
            if event.startswith("sample"):
                before = len(events[:place]) - 1 - events[:place][::-1].index("update") if "update" in events[:place] else 0
                taken[int(event.split()[1]) - 1] = events[:before].count("learn")
        assert taken == {step: max(0, step - 2) for step in range(6)}
    policies = [this.parts.networks.policy.parameters() for this in (one, other)]
    assert all(torch.equal(value, policies[1][name]) for name, value in policies[0].items())
