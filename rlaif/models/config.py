"""How a model is loaded, in words that the command line reads. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

ModelKind = Literal["causal", "sequence-classification"]
"""What a model gives: the next token's logits, or scores of a whole text."""
Precision = Literal["auto", "float32", "bfloat16"]
Quantize = Literal["none", "4bit"]
