"""Constitutions: the principles that a critic judges by. ``rlaif.constitution.load.load_constitution`` reads one from YAML."""

from rlaif.constitution.types import AGGREGATES, WORDING_KEYS, Aggregate, Constitution, Example, Principle

__all__ = ["AGGREGATES", "WORDING_KEYS", "Aggregate", "Constitution", "Example", "Principle"]
