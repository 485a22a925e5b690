"""Whether a run's labels are worth anything: findings in plain words, each with its remedy, and what can be required."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from rlaif.data.records import beside_overall
from rlaif.evaluate import agreement
from rlaif.evaluate.agreement import Interval, wilson
from rlaif.evaluate.judgement import Judgement, Quality
from rlaif.evaluate.requirements import SHARE, Range
from rlaif.evaluate.table import interval, percent

LEAST_VERDICTS = 100
"""Verdicts before a share of them says anything."""
LEAST_LABELS = 30
"""Pairs with a known label before agreement with them says anything."""
LEAST_CANARIES = 4
FLIPS = 0.3
FIRST = 0.8
"""Of pairs shown in one order: past this share (or below 1 − this) won by the response shown first, position decides."""
MASS = 0.3
ALIKE = 0.95
LONGER = 0.8
CANARIES = 0.75
NEVER = 0.98
"""Share of a principle's verdicts within .05 of a tie past which it decides nothing."""


class Finding(NamedTuple):
    """Something that makes a run's labels doubtful. about: in a few words. text: what was seen, in one sentence. remedy: what
    to do."""

    about: str
    text: str
    remedy: str

    @property
    def sentence(self) -> str:
        return f"{self.text} {self.remedy}"


def findings(quality: Quality) -> list[Finding]:
    """What is wrong with the run's labels, as far as its records tell; nothing before the hundredth verdict."""
    if quality.counts.get("verdicts", 0) + quality.counts.get("failed", 0) < LEAST_VERDICTS:
        return []
    return [finding for check in _CHECKS for finding in check(quality)]


def _position(quality: Quality) -> Iterator[Finding]:
    position, first = quality.position, quality.position.first_wins
    remedy = "Take a stronger critic, or one that is trained to judge."
    if position.asked >= LEAST_VERDICTS and position.flip_rate.low > FLIPS:
        yield Finding(
            "position decides",
            f"Position decides: {interval(position.flip_rate)} of the verdicts turn over when the two responses change places, "
            f"and the one shown first wins {percent(first.value)} of the time.",
            f"{remedy} Both orders even the bias out, but what is left is little.",
        )
    elif position.once >= LEAST_VERDICTS and (first.low > FIRST or first.high < 1 - FIRST):
        yield Finding(
            "position decides",
            f"Position decides: the response shown first wins {interval(first)} of the time.",
            f"{remedy} Ask in both orders (--orders both) to see how many verdicts depend on the order.",
        )


def _chance(quality: Quality) -> Iterator[Finding]:
    share = agreement.accuracy(quality.overall.table)
    if _at_chance(quality.overall):
        yield Finding(
            "at chance",
            f"The preferences agree with the known labels in {_of_pairs(share, quality.overall)}, which is "
            f"{_beside_chance(quality.overall)} chance.",
            "Do not train on them. Take another critic, or check that the constitution asks for what the labels reward.",
        )
    for principle in quality.principles:
        share = agreement.accuracy(principle.table)
        if _at_chance(principle):
            yield Finding(
                f"{_name(principle)} at chance",
                f"By the principle {_name(principle)}, the verdicts agree with known labels in {_of_pairs(share, principle)}, "
                f"which is {_beside_chance(principle)} chance.",
                "Word it so that it can be seen in the text, give it examples (--shots), or leave it out.",
            )


def _mass(quality: Quality) -> Iterator[Finding]:
    massed = sum(principle.massed for principle in quality.principles)
    if massed and _mean_mass(quality) < MASS:
        yield Finding(
            "label mass low",
            f"The labels hold {percent(_mean_mass(quality))} of the probability on average: the critic is about to say "
            "something else.",
            'Begin its answer in the prompt template (answer: "Answer:"), or take a model that follows instructions.',
        )


def _same(quality: Quality) -> Iterator[Finding]:
    for first, second, r in quality.alike:
        if r > ALIKE and quality.overall.verdicts >= LEAST_VERDICTS:
            yield Finding(
                f"{first} = {second}",
                f"The principles {first} and {second} are answered alike (r {r:+.2f}).",
                "Join them into one, or word them so that they ask different things; as they are, that one thing counts twice.",
            )


def _length(quality: Quality) -> Iterator[Finding]:
    share = wilson(*quality.longer)
    if quality.longer[1] >= LEAST_VERDICTS and (share.low > LONGER or share.high < 1 - LONGER):
        longer = share.low > LONGER
        yield Finding(
            "length decides",
            f"Length decides: the {'longer' if longer else 'shorter'} response is chosen in "
            f"{interval(share if longer else wilson(quality.longer[1] - quality.longer[0], quality.longer[1]))} of the pairs.",
            "What is trained on this learns length. Add a principle that says how long a response should be, or compare "
            "responses of like length.",
        )


def _never(quality: Quality) -> Iterator[Finding]:
    for principle in quality.principles:
        spread = principle.spread
        middle, every = int(spread[len(spread) // 2 - 1 : len(spread) // 2 + 1].sum()), int(spread.sum())
        if every >= LEAST_VERDICTS and middle >= NEVER * every:
            yield Finding(
                f"{_name(principle)} never differs",
                f"The principle {_name(principle)} calls {percent(middle / every)} of the pairs a tie (within .05 of ½).",
                "It decides nothing: word it in another way, restrict it to the rows that it is about (when), or leave it out.",
            )


def _canaries(quality: Quality) -> Iterator[Finding]:
    right, known = quality.canaries
    if known >= LEAST_CANARIES and right < CANARIES * known:
        yield Finding(
            "canaries wrong",
            f"Of the constitution's own examples, the critic gets {right} of {known} right.",
            "See which (canaries.jsonl): either the principle's words do not say what its examples show, or the critic cannot "
            "see it.",
        )


_CHECKS: Sequence[Callable[[Quality], Iterator[Finding]]] = (
    _position,
    _chance,
    _mass,
    _same,
    _length,
    _never,
    _canaries,
)


def _mean_mass(quality: Quality) -> float:
    massed = sum(principle.massed for principle in quality.principles)
    return sum(principle.mass for principle in quality.principles) / massed if massed else math.nan


def _point(value: float) -> Interval:
    return Interval(value, value, value)


MEASURES: Mapping[str, Range] = dict.fromkeys(("agreement", "canaries", "failures", "first", "flips", "longer", "mass"), SHARE)
"""What can be required of a label run."""


def figures(quality: Quality) -> dict[str, Interval]:
    """``MEASURES`` of a run, NaN where it has no data for one."""
    return {
        "agreement": agreement.accuracy(quality.overall.table),
        "canaries": wilson(*quality.canaries),
        "failures": _point(quality.failure_rate),
        "first": quality.position.first_wins,
        "flips": quality.position.flip_rate,
        "longer": wilson(*quality.longer),
        "mass": _point(_mean_mass(quality)),
    }


def _at_chance(judgement: Judgement) -> bool:
    """Whether agreement with known labels, of which there must be some, cannot be told from chance or is below it."""
    return agreement.pairs_in(judgement.table) >= LEAST_LABELS and agreement.accuracy(judgement.table).low <= 0.5


def _beside_chance(judgement: Judgement) -> str:
    """``worse than`` where the verdicts speak against the labels; undecided ones, which agree with none, count as half."""
    pairs, undecided = agreement.pairs_in(judgement.table), int(judgement.table[1].sum()) / 2
    against = wilson(agreement.accuracy(judgement.table).value * pairs + undecided / 2, pairs).high < 0.5
    return "worse than" if against else "not more than"


def _of_pairs(share: Interval, judgement: Judgement) -> str:
    return f"{interval(share)} of {agreement.pairs_in(judgement.table):,} pairs"


def _name(principle: Judgement) -> str:
    return beside_overall(principle.id)
