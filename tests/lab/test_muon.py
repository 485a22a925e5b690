"""Muon's updates are nearly orthogonal, and it descends."""

from __future__ import annotations

import pytest
import torch

from rlaif.lab.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 16, 6), (2, 5, 12)])
def test_singular_values_come_near_one(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    values = torch.linalg.svdvals(orthogonal(matrices, steps=8))
    assert values.min() > 0.4 and values.max() < 1.4


def test_singular_directions_are_kept():
    torch.manual_seed(0)
    matrix = torch.randn(6, 4)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.T @ orthogonal(matrix[None], steps=8)[0] @ v.T
    assert (inner - torch.diag(inner.diagonal())).abs().max() < 1e-3


def test_it_descends():
    torch.manual_seed(0)
    goal, weights = torch.randn(2, 8, 4), [torch.nn.Parameter(torch.zeros(8, 4)) for _ in range(2)]
    optimizer = Muon(weights, lr=0.05, weight_decay=0.0)
    losses = []
    for _ in range(60):
        loss = sum(((weight - target) ** 2).sum() for weight, target in zip(weights, goal, strict=True))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 4
