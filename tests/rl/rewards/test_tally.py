import pytest
import torch

from rlaif.rl.rewards.mix import MixReward, Part
from rlaif.rl.rewards.tally import FAILED, SPREAD, VETO, failure_rate, of_kind, of_principle, of_source, tally, values_of
from tests.rl.rewards.rollouts import rewarded, rollout


def rewards(**columns):
    held = {name: torch.as_tensor(values, dtype=torch.float32) for name, values in columns.items()}
    return tally(torch.ones(2), held, ["", ""])


@pytest.mark.parametrize("name", [FAILED, SPREAD, VETO, "principles", "sources"])
def test_no_principle_or_source_is_taken_for_a_column_about_the_reward(name):
    named = {of_principle(name): [9.0, 9.0], of_source(name): [9.0, 9.0], of_source(name, of_principle(name)): [9.0, 9.0]}
    columns = rewards(**named).columns
    assert dict(values_of(columns)).keys() == named.keys()
    assert not any([*of_kind(columns, kind)] for kind in (FAILED, SPREAD, VETO))
    assert failure_rate(rewards(**named)) == 0.0


@pytest.mark.parametrize("column", [FAILED, of_source("a", FAILED), of_source(VETO, FAILED), of_source("sources", FAILED)])
def test_failures_are_counted_wherever_they_stand(column):
    found = rewards(**{column: [0.5, 1.0], of_principle("kind"): [0.0, 0.0]})
    assert failure_rate(found) == 0.75
    assert [name for name, _ in values_of(found.columns)] == ["principles/kind"]


@pytest.mark.parametrize("name", [FAILED, SPREAD, VETO, "principles"])
def test_a_mix_counts_failures_alike_whatever_its_sources_are_called(name):
    async def nines(rollouts):
        return tally(torch.full((len(rollouts),), 9.0), {FAILED: torch.zeros(len(rollouts))}, [""] * len(rollouts))

    found = rewarded(MixReward([Part(name, nines)]), [rollout("x")])
    assert failure_rate(found) == 0.0 and [each for each, _ in values_of(found.columns)] == [of_source(name)]
