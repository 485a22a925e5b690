"""How samples of a policy repeat themselves and each other. Pure functions; a text is a list of words."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from statistics import fmean

Words = Sequence[str]


def ngrams(words: Words, n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)


def distinct(texts: Sequence[Words], n: int) -> float:
    """Distinct n-grams over all n-grams of the texts together, in [0, 1]; NaN where there is none. It falls as there are more
    texts, so compare equal numbers of them. Source: Li et al. 2016, arXiv 1510.03055."""
    grams = list(chain.from_iterable(ngrams(words, n) for words in texts))
    return len(set(grams)) / len(grams) if grams else math.nan


def self_bleu(texts: Sequence[Words], longest: int = 4) -> float:
    """Mean BLEU of each text with all others as its references, in [0, 1]: 1 where every text is there twice. NaN for fewer
    than two texts.

    BLEU is the geometric mean over n = 1…``longest`` of the share of a text's n-grams that some reference has as often, times
    exp(1 − r/c) where the text (c words) is shorter than the reference of the nearest length (r). A text too short for an
    n-gram is measured by those that it has. Source: Zhu et al. 2018, arXiv 1802.01886; Papineni et al. 2002.
    """
    if len(texts) < 2:
        return math.nan
    counts = [[Counter(ngrams(words, n)) for n in range(1, longest + 1)] for words in texts]
    most = [_two_highest([each[n] for each in counts]) for n in range(longest)]
    return fmean(_bleu(index, texts, counts[index], most) for index in range(len(texts)))


def boilerplate(texts: Sequence[Words], prompts: Sequence[int], n: int = 4) -> float:
    """Chance that a random n-gram of the texts stands in a response to another, random prompt too, in [0, 1]; NaN where there
    are no n-grams or fewer than two prompts. prompts: which prompt each text answers."""
    of: defaultdict[tuple[str, ...], set[int]] = defaultdict(set)
    total: Counter[tuple[str, ...]] = Counter()
    for words, prompt in zip(texts, prompts, strict=True):
        for ngram in ngrams(words, n):
            of[ngram].add(prompt)
            total[ngram] += 1
    others = len(set(prompts)) - 1
    if others < 1 or not total:
        return math.nan
    return sum(many * (len(of[ngram]) - 1) for ngram, many in total.items()) / (others * total.total())


Highest = dict[tuple[str, ...], tuple[int, int, int]]


def _two_highest(counts: Sequence[Counter[tuple[str, ...]]]) -> Highest:
    """For each n-gram, the most that any text has of it, which text that is, and the most that any other text has."""
    grams: Highest = {}
    for index, each in enumerate(counts):
        for ngram, many in each.items():
            first, owner, second = grams.get(ngram, (0, -1, 0))
            grams[ngram] = (many, index, first) if many > first else (first, owner, max(second, many))
    return grams


def _bleu(index: int, texts: Sequence[Words], counts: Sequence[Counter[tuple[str, ...]]], most: Sequence[Highest]) -> float:
    logs = []
    for mine, highest in zip(counts, most, strict=True):
        if not mine:
            break
        matched = 0
        for ngram, many in mine.items():
            first, owner, second = highest[ngram]
            matched += min(many, second if owner == index else first)
        if not matched:
            return 0.0
        logs.append(math.log(matched / mine.total()))
    if not logs:
        return 0.0
    length = len(texts[index])
    nearest = min(
        (len(other) for number, other in enumerate(texts) if number != index), key=lambda other: (abs(other - length), other)
    )
    return math.exp(fmean(logs) + min(0.0, 1 - nearest / length))
