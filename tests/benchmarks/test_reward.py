"""The reward benchmark's figures are what they say, on answers and runs that are made up."""

from __future__ import annotations

import math

import pytest

from benchmarks.reward import LAB_ROWS, MEMBERS, page
from benchmarks.reward_page import PREDICTIONS, Lab, Row, lab_differences
from benchmarks.reward_text import Answer, Pair, accuracy, figures, pairs, style, training_rows

LONG, SHORT, PLAIN = Answer("q", "x" * 100, "a", 0.8), Answer("q", "y" * 90, "b", 0.2), Answer("q", "z", "c", 0.17)


def test_pairs_are_those_of_unequal_opinion_the_better_one_first():
    assert pairs([[SHORT, LONG, PLAIN]]) == [Pair(LONG, SHORT), Pair(LONG, PLAIN)]


def test_a_pairs_label_is_by_bradley_terry_through_the_baseline():
    """4 to 1 against the baseline, and 1 to 4: together 16 to 1."""
    (row,) = training_rows([Pair(LONG, SHORT)])
    assert row["p_chosen"] == pytest.approx(16 / 17)
    assert (row["prompt"], row["chosen"], row["rejected"]) == ("q", LONG.text, SHORT.text)


def test_accuracy_counts_a_tie_for_half_and_lies_in_its_interval():
    others = [Answer(f"q{n}", "x", "a", 0.9) for n in range(8)], [Answer(f"q{n}", "y", "b", 0.1) for n in range(8)]
    judged = [Pair(*both) for both in zip(*others, strict=True)]
    scores = {pair.first: float(n < 5) for n, pair in enumerate(judged)} | {pair.second: 0.0 for pair in judged}
    value, low, high = accuracy(scores, judged)
    assert value == pytest.approx((5 + 3 / 2) / 8)
    assert low < value < high <= 1


def test_length_matched_pairs_are_told_apart_from_all():
    found = figures({LONG: 2.0, SHORT: 1.0, PLAIN: 3.0}, pairs([[LONG, SHORT, PLAIN]]))
    assert found["all"][:2] == [2, 0.5]
    assert found["matched"][:2] == [1, 1.0]
    lengths = {one: math.log(len(one.text)) for one in (LONG, SHORT, PLAIN)}
    assert figures(lengths, pairs([[LONG, SHORT]]))["length"] == pytest.approx(1)


def test_the_style_baseline_finds_a_habit():
    lists = [Answer(f"q{n}", f"One.\n- two {n}\n- three", "a", 0.9) for n in range(30)]
    prose = [Answer(f"q{n}", f"One, then two {n} and three", "b", 0.1) for n in range(30)]
    scores = style([Pair(*both) for both in zip(lists[:20], prose[:20], strict=True)], [*lists[20:], *prose[20:]])
    assert min(scores[one] for one in lists[20:]) > max(scores[one] for one in prose[20:])


def results(accuracy_of):
    """Runs of two seeds. accuracy_of: (row, way to predict, seed) → accuracy."""
    found = {}
    for row in LAB_ROWS:
        for seed in (0, 1):
            ways = {way: {"accuracy": accuracy_of(row, way, seed), "correlation": 0.5} for way in PREDICTIONS}
            found[row.run(seed)] = {**ways, "run": {"seconds": 7.0, "spread": 0.3}}
    return Lab(found, {"critic": 0.8, "flipped": 0.65, "fallible": 0.6}, (0, 1))


def test_differences_are_paired_by_seed():
    """Seeds differ by .1, which is no uncertainty about the differences."""

    def made_up(row: Row, way: str, seed: int) -> float:
        return 0.6 + 0.1 * seed + 0.02 * (row.labels == "soft") + 0.01 * row.members - 0.05 * (way == "worst")

    line = lab_differences(results(made_up), ["critic"], MEMBERS).splitlines()[2]
    assert line == "| lab, both orders | +0.020 ± 0.000 | +0.020 ± 0.000 | +0.040 ± 0.000 | -0.050 ± 0.000 | +0.000 ± 0.000 |"


def test_the_page_holds_every_figure():
    lab = results(lambda row, way, seed: 0.5)
    shown = {"all": [900, 0.87, 0.85, 0.89], "matched": [99, 0.7, 0.6, 0.8], "length": 0.61}
    text = {"pairs": 3000, "tokens": 10**6, "prompts": [411, 229], "parameters": 230000, "cpu_seconds": 90.0, "seconds": 60.0}
    written = page(lab, {**text, "threads": 2, "figures": {"reward model": shown}})
    assert written.count("| soft |") == 8
    assert "| reward model | 0.870 (0.850–0.890) | 0.700 (0.600–0.800) | 0.61 |" in written
    for part in ("229 other prompts are held out, answered", "1.5 CPU minutes", "(0.800)", "(0.600)", "0.500 ± 0.000"):
        assert part in written
