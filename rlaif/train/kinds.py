"""Kinds of training rows and of their labels, by name."""

from typing import Literal

Labels = Literal["soft", "hard"]
RowKind = Literal["pairs", "unpaired", "completions"]
"""Two responses and which is better; single ones and how desirable they are; single ones to imitate."""
