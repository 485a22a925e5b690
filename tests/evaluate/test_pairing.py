"""Active pairing: what is asked next, what that saves, and that intervals of what it asked still hold the truth."""

import itertools

import numpy as np
import pytest

from rlaif.critic.strengths import Strengths, bradley_terry, sigmoid
from rlaif.evaluate.pairing import PRIOR, most_informative
from rlaif.evaluate.ranking import Comparisons, intervals

TRUE = np.array([2.5, 1.2, 0.9, -1.4, -3.2])
EVERY = list(itertools.combinations(range(5), 2))


def strengths(played, n=5):
    i, j, p = (
        (np.array(column) for column in zip(*played, strict=True))
        if played
        else (np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    )
    return bradley_terry(i, j, p, n, PRIOR)


def play(rng, pairs, luck=None):
    """Each pair with who won. luck: uniform numbers, so that games may share theirs."""
    draws = rng.random(len(pairs)) if luck is None else luck
    return [(i, j, float(u < sigmoid(TRUE[i] - TRUE[j]))) for (i, j), u in zip(pairs, draws, strict=True)]


def ladder(rng, choose, budget, size=10):
    played = []
    while len(played) < budget:
        played += play(rng, choose(played, size))
    return played


def active(played, size):
    return most_informative(strengths(played), size, dict.fromkeys(EVERY, 100))


def test_the_first_round_connects_all():
    pairs = most_informative(strengths([]), 4, dict.fromkeys(EVERY, 9))
    reached = {0}
    for _ in pairs:
        reached |= {player for pair in pairs for player in pair if set(pair) & reached}
    assert reached == set(range(5)) and len(set(pairs)) == 4


def test_each_choice_adds_most_to_the_information():
    rng = np.random.default_rng(0)
    known = strengths(play(rng, [EVERY[k] for k in rng.integers(10, size=30)]))
    information = known.information
    for i, j in most_informative(known, 4, dict.fromkeys(EVERY, 2)):
        added = {}
        for a, b in EVERY:
            q = sigmoid(known.values[a] - known.values[b])
            side = np.eye(5)[a] - np.eye(5)[b]
            added[a, b] = information + q * (1 - q) * np.outer(side, side)
        volume = {pair: np.linalg.slogdet(matrix)[1] for pair, matrix in added.items()}
        assert volume[i, j] == pytest.approx(max(volume.values()))
        information = added[i, j]


def test_no_more_is_asked_than_is_left():
    even = Strengths(np.zeros(3), np.eye(3))
    assert sorted(most_informative(even, 9, {(0, 1): 2, (1, 2): 1, (0, 2): 0})) == [(0, 1), (0, 1), (1, 2)]
    assert most_informative(even, 9, {}) == []


def test_neighbours_are_told_apart_with_fewer_comparisons():
    """Of models far apart, most pairs say little: the error of neighbours' differences, against pairs drawn at random."""

    def error(choose, seed):
        rng = np.random.default_rng(seed)
        found = strengths(ladder(rng, choose, 120)).values
        return np.square(np.diff(found) - np.diff(TRUE)).mean()

    drawn = np.random.default_rng(9)
    at_random = [error(lambda _, size: [EVERY[k] for k in drawn.integers(10, size=size)], seed) for seed in range(60)]
    assert np.mean([error(active, seed) for seed in range(60)]) < 0.85 * np.mean(at_random)


def test_intervals_of_actively_chosen_comparisons_cover_what_they_say():
    """2,000 ladders of five; the games on one prompt share their luck half of the time."""
    covered = np.zeros(5)
    truth = (TRUE - TRUE.mean()) / 3
    for seed in range(2000):
        rng = np.random.default_rng(seed)
        i, j, p, row = (np.zeros(0, int), np.zeros(0, int), np.zeros(0), np.zeros(0, int))
        for _ in range(2):
            known = bradley_terry(i, j, p, 5, PRIOR)
            pairs = np.array(most_informative(known, 12, dict.fromkeys(EVERY, 100))).repeat(6, axis=0)
            prompt, own, shared = rng.integers(120, size=72), rng.random(72), rng.random((2, 120))
            luck = np.where(shared[0][prompt] < 0.5, shared[1][prompt], own)
            won = luck < sigmoid((TRUE[pairs[:, 0]] - TRUE[pairs[:, 1]]) / 3)
            i, j, p = np.append(i, pairs[:, 0]), np.append(j, pairs[:, 1]), np.append(p, won)
            row = np.append(row, prompt)
        _, low, high = intervals(Comparisons(list("abcde"), i, j, p, row))
        covered += (low <= truth) & (truth <= high)
    assert (covered / 2000 >= 0.93).all() and (covered / 2000 <= 0.97).all()
