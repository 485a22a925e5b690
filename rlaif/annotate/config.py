"""What ``rlaif annotate`` is asked to do. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rlaif.settings import setting

Choose = Literal["random", "uncertainty", "disagreement", "stratified"]
WHAT, SAVED, PAGE = "What is asked", "Output", "Page"


@dataclass(frozen=True, kw_only=True)
class AnnotateConfig:
    """by: ``overall``, ``principle`` for each of a pair's principles in turn, or one principle's id (of one that is called
    overall or principle: ``principles/ID``). seed: of the order of random pairs, and of which response stands first."""

    run: Path = setting(help="A label run's folder.", metavar="RUN", argument=True)
    by: str = setting("overall", "overall, principle (each of a pair's in turn), or a principle's id.", panel=WHAT)
    choose: Choose = setting(
        "random",
        "Which pairs come first: random (what holds of them holds of all), uncertainty (the critic's p near ½), disagreement "
        "(of orders, principles or critics), stratified (as many sure as unsure ones).",
        panel=WHAT,
    )
    limit: int = setting(500, "Show at most so many pairs.", panel=WHAT, least=1)
    annotator: str = setting("annotator", "Who answers; each has answers of their own.", panel=WHAT)
    seed: int = setting(0, "Of random order, and of which response stands first.", panel=WHAT, least=0, most=2**32 - 1)
    out: Path | None = setting(None, "Where answers are added; by default annotations.jsonl in RUN.", panel=SAVED)
    terminal: bool = setting(False, "Ask in the terminal, without a page.", panel=PAGE)
    port: int = setting(0, "Of the page, on this machine alone; 0 is any that is free.", panel=PAGE, least=0, most=65535)

    @property
    def log(self) -> Path:
        """The file of answers."""
        return self.out or self.run / "annotations.jsonl"

    @property
    def gold(self) -> Path:
        """The file of what they come to, beside it."""
        return self.log.with_name(f"{self.log.stem}-gold.jsonl")
