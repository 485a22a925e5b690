"""What the reference policy gives each response: computed once, before training, and kept in the run's folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import reduce
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rlaif.data.write import atomic_path
from rlaif.processes import on_main, processes
from rlaif.train.batches import collate, to_device
from rlaif.train.items import Item
from rlaif.train.objectives import logprobs

BATCH_TOKENS = 8192


def with_reference(items: Sequence[Item], cache: Path, model: Any, pad: int, tick: Callable[[int], None]) -> list[Item]:
    """The items with ``reference`` filled in, from ``cache`` where it is there, else from ``model``.

    cache: a file whose name says which data and which model. tick: called with the number of items done. Several processes
    compute a part each.
    """
    values = on_main(lambda: _read(cache, len(items)))
    if values is None:
        values = _compute(model, items, pad, tick)
        if processes().is_main_process:
            with atomic_path(cache) as temporary:
                save_file({"logprobs": values}, temporary)
    return [replace(item, reference=tuple(row)) for item, row in zip(items, values.tolist(), strict=True)]


def _read(cache: Path, rows: int) -> torch.Tensor | None:
    if not cache.is_file():
        return None
    try:
        found = load_file(cache)["logprobs"]
    except (SafetensorError, KeyError):
        return None
    return found if len(found) == rows else None


@torch.no_grad()
def _compute(model: Any, items: Sequence[Item], pad: int, tick: Callable[[int], None]) -> torch.Tensor:
    """[N, S], in batches of items of like length."""
    model.eval()
    device, state = next(model.parameters()).device, processes()
    many = len(items[0].sequences)
    values = torch.zeros(len(items), many)
    order = sorted(range(len(items)), key=lambda index: -items[index].length)[state.process_index :: state.num_processes]
    start = 0
    while start < len(order):
        width = items[order[start]].length
        part = order[start : start + max(1, BATCH_TOKENS // (width * many))]
        sums, _ = logprobs(model, to_device(collate([items[index] for index in part], pad), device))
        values[part] = sums.view(many, -1).T.cpu()
        start += len(part)
        tick(min(len(items), start * state.num_processes))
    return reduce(values.to(device), "sum").cpu()  # type: ignore[no-any-return]
