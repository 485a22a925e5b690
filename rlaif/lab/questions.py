"""The lab's prompts, and what a reply to one is like: what the grammar writes from and the gold scores are read into."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal
from zlib import crc32

from rlaif.lab import phrases as p

Split = Literal["train", "heldout"]


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt and what a reply must be measured against.

    about: (relation, country), the two numbers, the task, or the harm, as texts.
    """

    text: str
    kind: str
    about: tuple[str, ...]

    @property
    def split(self) -> Split:
        return "heldout" if crc32(self.text.encode()) % 5 == 0 else "train"


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a reply is like. ``substance``: answer, half, pointer, refusal, or redirect (a refusal with another way)."""

    substance: str
    right: bool
    opener: bool
    closer: bool
    insult: bool
    certainty: int
    """-1 boasts, 0 plain, 1 hedges."""
    evidence: int
    """0 none, 1 a rumour, 2 a named source."""
    fillers: int
    unsafe_tip: bool


@cache
def questions() -> dict[str, Question]:
    """Every prompt of the world, by its text."""
    bare = [
        *(
            Question(form.format(relation=relation, country=country), "fact", (relation, country))
            for relation in p.RELATIONS
            for country in p.COUNTRIES
            for form in p.FACT_FORMS
        ),
        *(
            Question(form.format(a=a, b=b), "sum", (str(a), str(b)))
            for a in range(1, 13)
            for b in range(1, 13)
            for form in p.SUM_FORMS
        ),
        *(Question(form.format(task=task), "task", (task,)) for task in p.TASKS for form in p.TASK_FORMS),
        *(Question(form.format(task=harm), "risky", (harm,)) for harm in p.HARMS for form in p.TASK_FORMS),
    ]
    return {prelude + q.text: Question(prelude + q.text, q.kind, q.about) for q in bare for prelude in p.PRELUDES}
