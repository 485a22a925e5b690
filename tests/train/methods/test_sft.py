from dataclasses import replace

import pytest

from rlaif.train.methods.sft import Sft


@pytest.fixture
def completions(items):
    return [replace(item, sequences=item.sequences[:1], reference=()) for item in items]


@pytest.mark.parametrize("packing", [False, True])
def test_it_is_the_negative_log_likelihood_of_the_responses(model, completions, numbers, packing):
    loss = Sft(packing)
    batch = loss.stack(completions, 0, 16)
    assert len(batch.ids) == (1 if packing else 3)
    assert loss.step(model, batch).total.item() == pytest.approx(-sum(n.c for n in numbers), rel=1e-5)
