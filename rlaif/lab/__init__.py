"""The offline lab: a small world in which better is known, and four small models trained on it (design §8)."""

from __future__ import annotations

from pathlib import Path

MODELS = Path(__file__).parent / "models"
"""Where the shipped models are: ``policy``, ``critic``, ``fallible`` and ``reviser``, plain Hugging Face folders."""
