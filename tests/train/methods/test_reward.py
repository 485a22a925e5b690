from types import SimpleNamespace

import pytest
import torch

from rlaif.train.methods.reward import Reward
from tests.reference import losses as oracle


def test_the_rows_margin_is_demanded(batch, items):
    scores = torch.tensor([[0.3], [1.0], [-0.5], [0.1], [0.4], [0.9]])
    model = lambda input_ids, attention_mask: SimpleNamespace(logits=scores)  # noqa: E731
    step = Reward(margin=2.0, centre=0.1).step(model, batch)
    wanted = [
        oracle.bradley_terry(scores[row].item(), scores[3 + row].item(), item.p, 2.0 * item.margin, 0.1)
        for row, item in enumerate(items)
    ]
    assert step.total.item() == pytest.approx(sum(wanted), rel=1e-5)


def test_members_weigh_the_rows_they_learn_from_and_no_others(items):
    loss = Reward(members=3)
    assert loss.heads == 3
    assert all(len(item.weights) == 3 for item in loss.arrange(items, 16, 0, held_out=False))
    assert loss.arrange(items, 16, 0, held_out=True) == items
