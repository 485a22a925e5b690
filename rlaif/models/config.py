"""How a model is loaded, in words that the command line reads. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

ModelKind = Literal["causal", "sequence-classification"]
"""What a model gives: the next token's logits, or scores of a whole text."""
Precision = Literal["auto", "float32", "bfloat16"]
PRECISION = "auto: bfloat16 where a GPU has it, and where a CPU has it and the model is 512 wide or wider."
Attention = Literal["auto", "sdpa", "eager", "flash_attention_2"]
"""``auto``: flash attention where a GPU computes in half precision and the package is installed, else PyTorch's own (sdpa)."""
Quantize = Literal["none", "4bit"]

CHUNK = {"cpu": 2**24}
"""Logits (rows × vocabulary) that are held at once, by device: 64 MiB in float32 on a CPU. With fewer rows the products are too
thin: 2²¹ would be 13 rows of a vocabulary of 151,936 (``benchmarks/logprobs.py``)."""
CHUNK_ELSEWHERE = 2**27
"""512 MiB, on devices that want larger products."""


def chunk_size(device: str) -> int:
    """Logits that are held at once on a device of this type."""
    return CHUNK.get(device, CHUNK_ELSEWHERE)
