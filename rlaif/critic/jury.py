"""From each critic's verdict to the jury's: the mean of those that are there, every critic's own beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rlaif.critic.modes.compare import averaged
from rlaif.critic.modes.rank import compared
from rlaif.critic.modes.score import p_better
from rlaif.critic.verdict import Comparison, Failure, Ranking, Score

Found = Comparison | Score | Ranking | Failure


def on_pair(found: Mapping[tuple[int, ...], Sequence[Found]], first: int, second: int) -> list[Comparison | Failure]:
    """Each critic's verdict on two responses of a row, from whatever the critics were asked about.

    found: by what was asked about (the pair itself, single responses, or the list of all), one verdict per critic.
    """
    if (first, second) in found and not any(isinstance(one, Ranking) for one in found[first, second]):
        return [one for one in found[first, second] if isinstance(one, Comparison | Failure)]
    if (first,) in found:
        return [_scored(one, other) for one, other in zip(found[first,], found[second,], strict=True)]
    (whole,) = found.values()
    return [compared(one, first, second) if isinstance(one, Ranking) else _failure(one) for one in whole]


def agreed(verdicts: Sequence[Comparison | Failure]) -> Comparison | Failure:
    """The jury's verdict on a pair: the mean over the critics that have one; the first failure where none has."""
    found = averaged(verdicts)
    if len(verdicts) == 1 or isinstance(found, Failure):
        return found
    return replace(found, jury=tuple(one.p if isinstance(one, Comparison) else None for one in verdicts))


def agreed_score(verdicts: Sequence[Found]) -> Score | Failure:
    """The jury's score of a response: the mean of the critics' label distributions, and so of their scores."""
    there = [one for one in verdicts if isinstance(one, Score)]
    if not there:
        return _failure(verdicts[0])
    if len(verdicts) == 1:
        return there[0]
    return Score(
        score=sum(one.score for one in there) / len(there),
        distribution=tuple(sum(ps) / len(there) for ps in zip(*(one.distribution for one in there), strict=True)),
        mass=min(one.mass for one in there),
        raw=tuple(text for one in there for text in one.raw),
        cut=max(one.cut for one in there),
        jury=tuple(one.score if isinstance(one, Score) else None for one in verdicts),
    )


def _scored(one: Found, other: Found) -> Comparison | Failure:
    """Two responses' scores as a verdict on the pair: the probability that the first has the better label."""
    if isinstance(one, Score) and isinstance(other, Score):
        p = p_better(one.distribution, other.distribution)
        return Comparison(p, None, min(one.mass, other.mass), one.raw + other.raw, max(one.cut, other.cut))
    return _failure(one if isinstance(one, Failure) else other)


def _failure(verdict: Found) -> Failure:
    assert isinstance(verdict, Failure)
    return verdict
