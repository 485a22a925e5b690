"""Engines: what answers the critic's prompts. ``open_engine`` picks one from what the user wrote."""

from rlaif.engines.open import open_engine

__all__ = ["open_engine"]
