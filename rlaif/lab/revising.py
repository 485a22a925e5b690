"""What a good critic would write: a critique of a reply by one principle, and the reply with that fault mended.

Like ``rlaif.lab.gold`` it reads nothing but the text. A reply is taken apart into the grammar's phrases; what is none of them
is its core, with the hedge or the boast that opens it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from functools import cache

from rlaif.lab import phrases as p
from rlaif.lab.gold import CITED, STEPS, claims, read
from rlaif.lab.questions import Question
from rlaif.lab.world import write_core

NO_FAULT = "The reply has no error."

Mended = tuple[str, list[str]] | None
"""A critique and the pieces of the revised reply; None where there is no fault."""


def revise(question: Question, reply: str, principle: str, rng: random.Random) -> tuple[str, str]:
    """A critique of ``reply`` by one of gold's principles, and its revision: the reply itself where it has no fault."""
    mended = _MENDERS[principle](question, reply, _pieces(reply), rng)
    return (NO_FAULT, reply) if mended is None else (mended[0], " ".join(mended[1]))


def _polite(question: Question, reply: str, pieces: list[str], rng: random.Random) -> Mended:
    insults = _among(pieces, p.INSULTS)
    kind = _among(pieces, (*p.OPENERS, *p.CLOSERS))
    if kind and not insults:
        return None
    critique = f"The reply insults the reader: {insults[0]}" if insults else "The reply has no friendly word for the reader."
    return critique, [*([] if kind else [rng.choice(p.OPENERS)]), *_without(pieces, insults)]


def _correct(question: Question, reply: str, pieces: list[str], rng: random.Random) -> Mended:
    said, right = claims(question, reply)
    if not said or right or question.kind == "risky":
        return None
    if question.kind == "task":
        wrong = next(STEPS[step] for step in sorted(said) if STEPS[step] != question.about[0])
        core = write_core(question, read(question, reply).substance, True, rng)
        return f"This is how to {wrong}.", _with_core(pieces, core)
    truth = p.FACTS[question.about[0]][question.about[1]] if question.kind == "fact" else str(sum(map(int, question.about)))
    wrong = next(value for value in sorted(said) if value != truth)
    wrong_values = re.compile(rf"\b({'|'.join(said - {truth})})\b")
    return f"It is not {wrong}. The right answer is {truth}.", [wrong_values.sub(truth, piece) for piece in pieces]


def _harmless(question: Question, reply: str, pieces: list[str], rng: random.Random) -> Mended:
    tips = _among(pieces, p.TIPS)
    safe = _without(pieces, tips)
    if question.kind == "risky" and claims(question, reply)[0]:
        return f"The reply helps to {question.about[0]}.", _with_core(safe, write_core(question, "redirect", False, rng))
    return (f"This advice is not safe: {tips[0]}", safe) if tips else None


def _concise(question: Question, reply: str, pieces: list[str], rng: random.Random) -> Mended:
    fillers = _among(pieces, p.FILLERS)
    return (f"This says nothing: {fillers[0]}", _without(pieces, fillers)) if fillers else None


def _evidence(question: Question, reply: str, pieces: list[str], rng: random.Random) -> Mended:
    if _among(pieces, CITED):
        return None
    rumours = _among(pieces, p.RUMOURS)
    critique = f"This is no source: {rumours[0]}" if rumours else "The reply names no source."
    sourced = _without(pieces, rumours)
    after = max((index for index, piece in enumerate(sourced) if piece not in _decoration()), default=len(sourced) - 1) + 1
    sourced.insert(after, rng.choice(p.CITATIONS).format(source=rng.choice(p.SOURCES)))
    return critique, sourced


def _humble(question: Question, reply: str, pieces: list[str], rng: random.Random) -> Mended:
    certainty = read(question, reply).certainty
    if certainty > 0:
        return None
    hedge = rng.choice(p.HEDGES)
    if certainty < 0:
        boast = next(boast for boast in p.BOASTS if boast in reply)
        return f"The reply boasts: {boast}", [piece.replace(boast, hedge) for piece in pieces]
    first = next((index for index, piece in enumerate(pieces) if piece not in _decoration()), None)
    if first is None:
        return None
    hedged = f"{hedge} {_lowered(pieces[first])}"
    return "The reply does not admit that it may be wrong.", [*pieces[:first], hedged, *pieces[first + 1 :]]


def _helpful(question: Question, reply: str, pieces: list[str], rng: random.Random) -> Mended:
    substance = read(question, reply).substance
    best = ("redirect", "half", "answer") if question.kind == "risky" else ("answer",)
    if substance in best:
        return None
    critique = {
        "half": "The reply stops after the first step.",
        "pointer": "The reply gives no answer.",
        "redirect": "The reply does not answer.",
        "refusal": "The reply refuses and gives nothing else.",
    }[substance]
    return critique, _with_core(pieces, write_core(question, best[0], True, rng))


_MENDERS: dict[str, Callable[[Question, str, list[str], random.Random], Mended]] = {
    "polite": _polite,
    "correct": _correct,
    "harmless": _harmless,
    "concise": _concise,
    "evidence": _evidence,
    "humble": _humble,
    "helpful": _helpful,
}


@cache
def _decoration() -> frozenset[str]:
    return frozenset((*p.OPENERS, *p.CLOSERS, *p.INSULTS, *p.FILLERS, *p.RUMOURS, *p.TIPS, *CITED))


@cache
def _divider() -> re.Pattern[str]:
    return re.compile(f"({'|'.join(map(re.escape, sorted(_decoration())))})")


def _pieces(reply: str) -> list[str]:
    return [piece.strip() for piece in _divider().split(reply) if piece.strip()]


def _among(pieces: Sequence[str], phrases: Sequence[str]) -> list[str]:
    return [piece for piece in pieces if piece in phrases]


def _without(pieces: Sequence[str], phrases: Sequence[str]) -> list[str]:
    return [piece for piece in pieces if piece not in phrases]


def _with_core(pieces: Sequence[str], core: str) -> list[str]:
    """The reply with another core in the place of its first, after the same hedge or boast."""
    cores = [index for index, piece in enumerate(pieces) if piece not in _decoration()]
    opening = next((words for index in cores for words in (*p.HEDGES, *p.BOASTS) if pieces[index].startswith(words)), None)
    new = f"{opening} {core}" if opening else core[0].upper() + core[1:]
    kept = [piece for index, piece in enumerate(pieces) if index not in cores[1:]]
    return [*kept[: cores[0]], new, *kept[cores[0] + 1 :]] if cores else [*kept, new]


def _lowered(core: str) -> str:
    return core if core.startswith(("I ", *p.COUNTRIES)) else core[0].lower() + core[1:]
