"""Consistency, of simulated policies that keep their answers as often as is known."""

import re

import numpy as np
import pytest

from rlaif.evaluate.consistency import Kept, cells, consistency, equal, extracted, kept, normalised


def asked(rng, stays, turns, wordings=3, samples=2):
    """A prompt's answers: each wording has an answer of its own with chance ``turns``; each draw another with 1 − stays."""
    own = [f"wording {w}" if rng.random() < turns else "usual" for w in range(wordings)]
    answers = [own[w] if rng.random() < stays else f"odd {rng.random()}" for w in range(wordings) for _ in range(samples)]
    return kept(equal(answers), [w for w in range(wordings) for _ in range(samples)])


def test_two_draws_agree_as_often_as_they_do():
    rng = np.random.default_rng(0)
    (line,) = consistency([asked(rng, 0.9, 0.2) for _ in range(600)])
    again, reworded = 0.9**2, 0.9**2 * 0.8**2
    assert line.resampled.low < again < line.resampled.high
    assert line.reworded.low < reworded < line.reworded.high
    assert line.wording.low < again - reworded < line.wording.high
    assert line.prompts == 600 and line.wording.value == pytest.approx(line.resampled.value - line.reworded.value)


def test_more_draws_do_not_move_the_figure():
    rng = np.random.default_rng(1)
    few, many = ([asked(rng, 0.8, 0.3, samples=n).resampled for _ in range(500)] for n in (2, 5))
    assert np.mean(few) == pytest.approx(np.mean(many), abs=0.03)
    assert np.std(many) < np.std(few)


def test_intervals_of_95_percent_cover_95_percent():
    """2,000 evaluations of 40 prompts: the shares, and what the wording changes."""
    covered = np.zeros(3)
    truth = np.array([0.9**2, 0.9**2 * 0.8**2, 0.9**2 * (1 - 0.8**2)])
    for seed in range(2000):
        rng = np.random.default_rng(seed)
        turned = rng.random((40, 3)) < 0.2
        held = rng.random((40, 3, 2)) < 0.9
        again = held.all(-1).mean(-1)
        pairs = [(a, b) for a in range(3) for b in range(a + 1, 3)]
        alike = np.stack([~turned[:, a] & ~turned[:, b] for a, b in pairs], -1)
        reworded = np.mean(
            [alike[:, k] * held[:, a, :, None].mean(-2).mean(-1) * held[:, b].mean(-1) for k, (a, b) in enumerate(pairs)], 0
        )
        (line,) = consistency([Kept(*each, np.nan) for each in zip(again, reworded, strict=True)], seed)
        found = (line.resampled, line.reworded, line.wording)
        covered += [interval.low <= value <= interval.high for interval, value in zip(found, truth, strict=True)]
    assert (covered / 2000 >= 0.93).all() and (covered / 2000 <= 0.97).all()


def test_what_is_not_known_is_left_out():
    same = np.array([[1, 1, np.nan], [1, 1, 0], [np.nan, 0, 1.0]])
    assert kept(same, [0, 0, 1])[:2] == (1, 0) and np.isnan(kept(same, [0, 0, 1]).always)
    alone = kept(np.ones((2, 2)), [0, 1])
    assert np.isnan(alone.resampled) and (alone.reworded, alone.always) == (1, 1)
    (line,) = consistency([alone, kept(np.ones((1, 1)), [0])])
    assert np.isnan(line.resampled.value) and np.isnan(line.wording.value) and line.reworded.value == 1


def test_categories_come_before_all():
    lines = consistency([Kept(1, 1, 1, "b"), Kept(0, 0, 0, "a"), Kept(1, 0, 0, "a")])
    assert [(line.name, line.prompts, line.resampled.value) for line in lines] == [
        ("a", 2, 0.5),
        ("b", 1, 1),
        ("all", 3, 2 / 3),
    ]
    assert cells(lines)[1][0] == "a" and len(cells(lines)) == 4


@pytest.mark.parametrize(
    ("text", "plain"),
    [("  The  Cat.\n", "the cat"), ("**42**", "42"), ("-5%!", "-5%"), ("“Yes,”", "yes"), ("!!!", "!!!"), ("½", "1⁄2")],
)
def test_case_space_and_punctuation_do_not_matter(text, plain):
    assert normalised(text) == plain


def test_the_last_answer_counts():
    pattern = re.compile(r"answer is (\w+)")
    assert extracted("the answer is 4, no, the answer is 5", pattern) == "5"
    assert extracted("who knows", pattern) is None and extracted("as it is", None) == "as it is"
    assert extracted("7 or 8", re.compile(r"\d")) == "8"


def test_a_missing_value_is_the_same_as_nothing():
    np.testing.assert_array_equal(equal(["a", "a", None]), [[1, 1, np.nan], [1, 1, np.nan], [np.nan] * 3])
    assert equal([]).shape == (0, 0)
