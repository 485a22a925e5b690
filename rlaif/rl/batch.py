"""Rollouts as tensors, and how a batch is cut into forward passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rlaif.rl.rollout import Rollout


class Batch(NamedTuple):
    """B prompts with their responses of up to R tokens, T tokens together.

    ids: [B, T], prompt, response, padding; with causal attention no real token sees the padding, so no attention mask is
        needed, and positions count from 0. before: [B, R], where in ids the state *before* each response token stands: the
        position whose output predicts the token, and whose value is V_t. tokens, mask: [B, R], the responses. sampled:
        [B, R], the sampler's log-probabilities. ended: [B]. groups: [B], the prompt that each is a response to.
    """

    ids: Tensor
    before: Tensor
    tokens: Tensor
    mask: Tensor
    sampled: Tensor
    ended: Tensor
    groups: Tensor

    def take(self, rows: Tensor) -> Batch:
        """Some rows, without the padding that only others need."""
        part = Batch(*(field[rows] for field in self))
        width = int(part.mask.sum(-1).max())
        total = int((part.before + part.mask).max()) + 1
        per_token = {name: getattr(part, name)[:, :width] for name in ("before", "tokens", "mask", "sampled")}
        return part._replace(ids=part.ids[:, :total], **per_token)

    @property
    def lengths(self) -> Tensor:
        """[B], tokens of prompt and response."""
        return self.before[:, 0] + 1 + self.mask.sum(-1)


def collate(rollouts: Sequence[Rollout], pad: int, device: Any = "cpu") -> Batch:
    """Stack rollouts. pad: any id will do. Responses have at least one token."""
    total = max(len(rollout.query.ids) + len(rollout.ids) for rollout in rollouts)
    width = max(len(rollout.ids) for rollout in rollouts)
    ids = torch.full((len(rollouts), total), pad)
    tokens = torch.full((len(rollouts), width), pad)
    before, sampled = torch.zeros_like(tokens), torch.zeros(len(rollouts), width)
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    for row, rollout in enumerate(rollouts):
        start, many = len(rollout.query.ids), len(rollout.ids)
        ids[row, : start + many] = torch.tensor([*rollout.query.ids, *rollout.ids])
        tokens[row, :many] = torch.tensor(rollout.ids)
        before[row, :many] = torch.arange(start - 1, start - 1 + many)
        sampled[row, :many] = torch.tensor(rollout.logprobs)
        mask[row, :many] = True
    ended = torch.tensor([rollout.ended for rollout in rollouts])
    groups = torch.tensor([rollout.query.group for rollout in rollouts])
    return Batch(*(field.to(device) for field in (ids, before, tokens, mask, sampled, ended, groups)))


def micro_batches(lengths: Tensor, tokens: int | None, share: tuple[int, int] = (0, 1)) -> Iterator[Tensor]:
    """Row numbers [b] of each forward pass: rows of like length, at most ``tokens`` tokens with padding, or one row. None: all
    in one pass. share: (number of this process, how many share the rows)."""
    order = lengths.argsort(descending=True, stable=True)[share[0] :: share[1]]
    start = 0
    while start < len(order):
        many = len(order) if tokens is None else max(1, tokens // int(lengths[order[start]]))
        yield order[start : start + many]
        start += many


def passes(lengths: Tensor, tokens: int | None, share: tuple[int, int], aligned: bool) -> Iterator[tuple[Tensor, bool]]:
    """``micro_batches`` with whether they count. aligned: as many as in any other process; those beyond the own do not count,
    and are of the shortest row."""
    mine = list(micro_batches(lengths, tokens, share))
    yield from ((rows, True) for rows in mine)
    if aligned:
        many = [sum(1 for _ in micro_batches(lengths, tokens, (number, share[1]))) for number in range(share[1])]
        for _ in range(max(many) - len(mine)):
            yield lengths.argmin()[None], False
