import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rlaif.evaluate.calibration import BINS, ece, points, reliability
from tests.reference import statistics as slow

# Odd hundredths: no p on the edge of a bin, where floating point decides.
PAIRS = st.lists(
    st.tuples(
        st.integers(0, 49).map(lambda n: (2 * n + 1) / 100) | st.sampled_from([0.0, 0.5, 1.0]),
        st.sampled_from([-1.0, 0.0, 0.5]),
    ),
    min_size=1,
    max_size=60,
)


@given(PAIRS, st.integers(0, 60))
def test_ece_against_plain_counting(pairs: list[tuple[float, float]], cut: int) -> None:
    assume(any(margin for _, margin in pairs))
    p, margin = (np.array(column) for column in zip(*pairs, strict=True))
    bins = reliability(p[:cut], margin[:cut]).plus(reliability(p[cut:], margin[cut:]))
    assert ece(bins) == pytest.approx(slow.ece(p.tolist(), margin.tolist(), BINS))
    assert sum(point.pairs for point in points(bins)) == np.count_nonzero(margin)
    for point in points(bins):
        assert point.low - 1e-9 <= point.confidence <= point.high + 1e-9


@given(PAIRS)
def test_which_response_stands_first_does_not_matter(pairs: list[tuple[float, float]]) -> None:
    p, margin = (np.array(column) for column in zip(*pairs, strict=True))
    for one, other in zip(reliability(p, margin), reliability(1 - p, -margin), strict=True):
        assert one == pytest.approx(other)


def test_a_calibrated_critic_has_little_error_and_an_overconfident_one_has_much() -> None:
    draw = np.random.default_rng(0)
    p = draw.uniform(size=20_000)
    margin = np.where(draw.uniform(size=p.size) < p, 1.0, -1.0)
    assert ece(reliability(p, margin)) < 0.02
    assert ece(reliability(np.where(p > 0.5, 0.99, 0.01), margin)) > 0.2


def test_no_data_is_not_a_number() -> None:
    assert math.isnan(ece(reliability(np.array([np.nan]), np.array([1.0]))))
