"""Whether a policy keeps its answer when a prompt is asked again, and when it is asked in other words.

Of each prompt there are several wordings, and of each wording several answers. How far two answers are the same lies in [0, 1].
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlaif.evaluate.agreement import Interval
from rlaif.evaluate.intervals import NOTHING, Floats, mean_interval, resampled, share
from rlaif.evaluate.table import interval

DRAWS = 2000
"""Resamplings of the prompts for an interval."""


class Kept(NamedTuple):
    """A prompt: the mean over pairs of its answers of how far they are the same. resampled: of pairs of answers to one wording.
    reworded: to different wordings. always: 1 where all pairs are the same, above ½ each. NaN where there is no such pair.
    category: '' where there are none."""

    resampled: float
    reworded: float
    always: float
    category: str = ""


class Consistency(NamedTuple):
    """The means over prompts. wording: resampled − reworded over the prompts that have both: what the wording itself changes,
    beside what chance does."""

    name: str
    prompts: int
    resampled: Interval
    reworded: Interval
    always: Interval
    wording: Interval


def kept(same: Floats, wording: Sequence[int], category: str = "") -> Kept:
    """same: [N, N], how far answers are the same, NaN where that is not known. wording: [N], of the prompt, that each answers.

    A mean over pairs does not depend on how many answers were drawn, but for its precision.
    """
    first, second = np.triu_indices(len(same), 1)
    pairs, alike = same[first, second], np.array(wording)[first] == np.array(wording)[second]
    known = ~np.isnan(pairs)
    parts = [pairs[known & where] for where in (alike, ~alike)]
    again, reworded = (float(part.mean()) if len(part) else float("nan") for part in parts)
    always = float((pairs[known] > 0.5).all()) if known.any() and known.all() else float("nan")
    return Kept(again, reworded, always, category)


def consistency(prompts: Sequence[Kept], seed: int = 0) -> list[Consistency]:
    """A line for each category, and for ``all``."""
    names = sorted({prompt.category for prompt in prompts} - {""})
    parts = [(name, [prompt for prompt in prompts if prompt.category == name]) for name in names]
    return [_line(name, part, seed) for name, part in [*parts, ("all", list(prompts))]]


def cells(lines: Sequence[Consistency]) -> list[list[str]]:
    """Header and rows of text cells."""
    rows = [
        [
            line.name,
            f"{line.prompts:,}",
            *(interval(found) for found in (line.resampled, line.reworded, line.always, line.wording)),
        ]
        for line in lines
    ]
    return [["", "prompts", "asked again", "reworded", "always the same", "due to wording"], *rows]


def normalised(text: str) -> str:
    """For ``exact``: without case, runs of white space, and punctuation at the ends."""
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return re.sub(r"^[^\w$€£+-]+|[^\w%]+$", "", plain) or plain


def extracted(text: str, pattern: re.Pattern[str] | None) -> str | None:
    """The answer in a response: the last match's first group (or all of it); without a pattern the response; None: no match."""
    if pattern is None:
        return text
    found = list(pattern.finditer(text))
    return (found[-1][1] if pattern.groups else found[-1][0]) if found else None


def equal(values: Sequence[object]) -> Floats:
    """[N, N]: 1 where two values are equal, 0 where they are not, NaN where one is None."""
    return np.array(
        [[np.nan if None in (one, other) else float(one == other) for other in values] for one in values], dtype=np.float64
    ).reshape(len(values), len(values))


def _line(name: str, prompts: Sequence[Kept], seed: int) -> Consistency:
    columns = np.array([prompt[:3] for prompt in prompts], dtype=np.float64).reshape(-1, 3).T
    again, reworded, _ = columns
    both = ~np.isnan(again) & ~np.isnan(reworded)
    shares = [share(column[known], np.arange(known.sum())) for column in columns for known in [~np.isnan(column)]]
    number, wording = int(both.sum()), NOTHING
    if number:
        wording = mean_interval((again - reworded)[both], resampled(np.arange(number), DRAWS, seed), number)
    return Consistency(name, len(prompts), shares[0], shares[1], shares[2], wording)
