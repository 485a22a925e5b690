from dataclasses import replace

import pytest
import torch

from rlaif.errors import UsageError
from rlaif.train.methods.kto import Kto
from tests.reference import losses as oracle


def test_the_first_sequences_are_learnt_and_the_others_make_the_baseline(total, model, batch, numbers):
    loss = Kto(beta=0.3, desirable=1.2, undesirable=0.8)
    given = [[getattr(n, name) for n in numbers] for name in ("c", "rc", "p")]
    wanted = oracle.kto(*given, [(0.25, 0.0)], 0.3, 1.2, 0.8)
    assert total(loss, baseline=torch.tensor(0.25)) == pytest.approx(sum(wanted), rel=1e-5)
    assert loss.log_ratios(model, batch).tolist() == pytest.approx([n.r - n.rr for n in numbers], rel=1e-5)


def test_each_completion_is_given_one_of_another_prompt(items):
    singles = [replace(item, sequences=item.sequences[:1]) for item in (items[0], items[2])]
    arranged = Kto().arrange(singles, 16, 0, held_out=False)
    assert all(item.sequences[1].ids[: item.sequences[1].start] == list(item.prompt) for item in arranged)
    assert arranged[0].sequences[1].ids[2:] == singles[1].sequences[0].ids[1:]


def test_a_single_row_has_no_baseline():
    with pytest.raises(UsageError, match="--batch-size"):
        Kto().check(1)
