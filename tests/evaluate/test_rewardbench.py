"""RewardBench's ways of counting, against its published formulas written out over whole arrays."""

import math

import numpy as np
import pytest

from rlaif.evaluate.rewardbench import OF_SUBSET, SECTIONS, Scored, best_of, ties, weights


def published_ties(tied, ref):
    """tied, ref: for each question (scores of correct responses, scores of wrong ones)."""
    lead = [np.array([min(right) - max(wrong) for right, wrong in prompts]) for prompts in (tied, ref)]
    within = np.array([max(right) - min(right) for right, _ in tied])
    lesser = np.minimum(*lead)
    with np.errstate(divide="ignore", invalid="ignore"):
        margin = np.nan_to_num(np.tanh(lesser / within - 1), nan=0.0)
    return (
        0.3 * np.mean(lead[0] > 0)
        + 0.3 * np.mean(lead[1] > 0)
        + 0.2 * np.mean(lead[0] > within)
        + 0.2 * np.mean(lesser > within)
        + 0.01 * np.mean(margin)
    )


def test_ties_are_scored_as_published():
    rng = np.random.default_rng(0)
    tied = [(rng.normal(1, 0.5, 5), rng.normal(0, 0.5, 3)) for _ in range(20)]
    tied += [([1.0, 1.0], [0.0]), ([1.0, 1.0], [2.0]), ([1.0, 1.0], [1.0])]  # the correct ones do not differ at all
    ref = [(rng.normal(1, 0.5, 1), rng.normal(0, 0.5, 3)) for _ in tied]
    scored = [
        Scored(f"{kind}:{n}", "Ties", *one) for kind, prompts in (("tied", tied), ("ref", ref)) for n, one in enumerate(prompts)
    ]
    assert np.mean(ties(scored)) == pytest.approx(published_ties(tied, ref))
    assert len(ties(scored[1:])) == len(tied) - 1  # ref:0 alone says nothing


def test_a_perfect_model_has_slightly_more_than_one():
    perfect = [Scored("tied:1", "Ties", [5.0, 5.1], [0.0]), Scored("ref:1", "Ties", [5.0], [0.0])]
    assert ties(perfect) == [pytest.approx(1.01)]


def test_the_mean_is_of_the_subsets():
    lines = {line.name: line for line in best_of([("Math", 1), ("Math", 0), ("Focus", 1), ("Focus", 1), ("Focus", 1)])}
    assert list(lines) == ["Focus", "Math", "all"]
    assert (lines["Math"].score.value, lines["all"].score.value) == (0.5, 0.75)
    scored = [Scored("tied:1", "Ties", [1.0, 2.0], [3.0]), Scored("ref:1", "Ties", [1.0], [0.0])]
    lines = {line.name: line for line in best_of([("Math", 1)], scored)}
    assert list(lines) == ["Math", "Ties", "all"]
    assert lines["Ties"].score.value == pytest.approx(0.3 + 0.01 * math.tanh(-3))


def test_sections_weigh_alike_and_mathematics_as_much_as_code():
    counts = {"alpacaeval-easy": 10, "mt-bench-med": 30, "donotanswer": 5, "math-prm": 4, "hep-js": 6, "hep-cpp": 2}
    subsets = [subset for subset, number in counts.items() for _ in range(number)]
    weight = np.array(weights(subsets))
    by = {subset: weight[[one == subset for one in subsets]].sum() for subset in counts}
    assert by["alpacaeval-easy"] == pytest.approx(1 / 12) and by["mt-bench-med"] == pytest.approx(1 / 4)
    assert by["math-prm"] == pytest.approx(1 / 6) == by["hep-js"] + by["hep-cpp"]
    assert len(OF_SUBSET) == 23 and set(OF_SUBSET.values()) == set(SECTIONS)
