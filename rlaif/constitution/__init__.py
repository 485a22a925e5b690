"""Constitutions: the principles that a critic judges by. ``rlaif.constitution.load.load_constitution`` reads one from YAML."""

from rlaif.constitution.types import AGGREGATES, MODES, Aggregate, Constitution, Example, Principle

__all__ = ["AGGREGATES", "MODES", "Aggregate", "Constitution", "Example", "Principle"]
