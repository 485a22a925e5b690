"""Engines: what answers the critic's prompts. ``EngineConfig`` names one and opens it."""

from rlaif.engines.config import EngineConfig

__all__ = ["EngineConfig"]
