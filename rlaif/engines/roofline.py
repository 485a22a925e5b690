"""How long a GPU takes at least to read and write so many tokens: the greater of what its arithmetic and its memory allow.

A token that is read takes two operations for each parameter of the model's body, and its attention 4 · layers · width for each
token before it; the output layer works where an answer begins. Steps of ``STEP`` tokens, or of ``TOGETHER`` texts that are
written side by side, read the weights from memory once each, in bfloat16. Source: Williams et al. 2009, "Roofline".
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rlaif.engines.open import model_path
from rlaif.errors import UsageError

BYTES = 2
"""Of a parameter and of an entry of the cache, in bfloat16."""
STEP, TOGETHER = 8192, 256
"""Tokens that are read, and texts that are written, in one step: vLLM's own settings."""
USUAL = 0.4
"""Share of a GPU's peak that reading is taken to reach in practice."""


class Gpu(NamedTuple):
    """flops: operations a second in bfloat16, dense. bandwidth: bytes of memory a second. Both as the maker states them."""

    flops: float
    bandwidth: float


GPUS = {
    "A100": Gpu(312e12, 2.04e12),
    "L4": Gpu(121e12, 0.3e12),
    "L40S": Gpu(362e12, 0.864e12),
    "H100": Gpu(989e12, 3.35e12),
    "H200": Gpu(989e12, 4.8e12),
    "B200": Gpu(2250e12, 8.0e12),
    "MI300X": Gpu(1307e12, 5.3e12),
}
"""NVIDIA's data sheets of the SXM versions where there are any; AMD's."""
_UNITS = {"M": 1e6, "B": 1e9, "T": 1e12}


class Size(NamedTuple):
    """Of a model. body: parameters that work on each token (of experts, those that are asked); head: of the output layer, where
    it is known by itself. layers, width: of attention's queries. keys: width of a layer's keys. 0 where it is not known."""

    body: float
    head: float = 0.0
    layers: int = 0
    width: int = 0
    keys: int = 0

    @property
    def weights(self) -> float:
        """Bytes that a step reads."""
        return BYTES * (self.body + self.head)


class Work(NamedTuple):
    """What a run gives a model to do. calls: prompts. computed: their tokens, but for those that a prefix cache holds. pairs:
    of a computed token and one that it looks at. written: tokens. held: tokens of a prompt, on average."""

    calls: float
    computed: float
    pairs: float
    written: float
    held: float

    def times(self, factor: float) -> Work:
        """So many times as much of the same."""
        calls, computed, pairs, written = (factor * value for value in self[:4])
        return Work(calls, computed, pairs, written, self.held)


def hours(gpu: Gpu, size: Size, work: Work) -> float:
    """GPU hours that the work takes at least."""
    attention = 4.0 * size.layers * size.width
    reading = 2 * size.body * work.computed + 2 * size.head * work.calls + attention * work.pairs
    reading_bytes = size.weights * math.ceil(work.computed / STEP)
    writing = (2 * (size.body + size.head) + attention * work.held) * work.written
    writing_bytes = (size.weights / TOGETHER + 2 * BYTES * size.layers * size.keys * work.held) * work.written
    seconds = max(reading / gpu.flops, reading_bytes / gpu.bandwidth) + max(writing / gpu.flops, writing_bytes / gpu.bandwidth)
    return seconds / 3600


def named(spec: str) -> tuple[str, float | None]:
    """What ``--gpu`` says: a GPU of the table, and the model's parameters where they are given (``H100:8B``).

    Raises UsageError where it is nothing of the kind.
    """
    name, colon, count = spec.partition(":")
    if name.upper() not in GPUS:
        raise UsageError(
            f"--gpu {spec}: not known; give {', '.join(GPUS)}, and the model's size where it is not here (H100:8B)"
        )
    try:
        parameters = float(count[:-1]) * _UNITS[count[-1:].upper()] if colon else None
    except (ValueError, KeyError):
        parameters = math.nan
    if parameters is not None and not 0 < parameters < math.inf:
        raise UsageError(f"--gpu {spec}: the model's size is a number of parameters, such as {name}:8B")
    return name.upper(), parameters


def sized(spec: str, models: Sequence[str]) -> tuple[Gpu, list[Size]]:
    """The GPU that ``--gpu`` names, and the sizes of ``models`` (as ``--critic`` names them).

    Raises UsageError where it names none, or a model's size is neither given nor to be read here.
    """
    name, parameters = named(spec)
    sizes = [Size(parameters) if parameters else size_of(model_path(model)) for model in dict.fromkeys(models)]
    return GPUS[name], sizes


def size_of(model: str) -> Size:
    """Of the model in a folder of ``config.json`` and safetensors files, of which only the headers are read.

    Raises UsageError where they are not there.
    """
    from transformers import AutoConfig

    folder = Path(model)
    files = sorted(folder.glob("*.safetensors"))
    if not files or not (folder / "config.json").is_file():
        raise UsageError(f"--gpu: the size of {model} cannot be read here; give its parameters too, such as --gpu H100:8B")
    config = AutoConfig.from_pretrained(folder).get_text_config()
    held = {name: math.prod(shape) for file in files for name, shape in _shapes(file).items()}
    table = config.vocab_size * config.hidden_size
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    experts = getattr(config, "num_experts", None) or getattr(config, "num_local_experts", None) or 1
    asked = (getattr(config, "num_experts_per_tok", None) or 1) / experts if experts > 1 else 1.0
    outside = ("embed_tokens", "wte", "lm_head", "embed_out")
    inside = {name: count for name, count in held.items() if not any(part in name for part in outside)}
    body = sum(count * (asked if ".experts." in name else 1) for name, count in inside.items())
    keys = (getattr(config, "num_key_value_heads", None) or heads) * head_dim
    return Size(body, table, config.num_hidden_layers, heads * head_dim, keys)


def _shapes(file: Path) -> dict[str, list[int]]:
    """Of the tensors in a safetensors file: eight bytes say how long its header of JSON is."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
