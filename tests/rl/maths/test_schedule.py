import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.rl.maths.schedule import factor, line


@given(st.sampled_from(["linear", "cosine", "constant"]), st.floats(0, 1), st.integers(1, 50))
def test_it_rises_then_never_rises_again(schedule, warmup, steps):
    values = [factor(schedule, warmup, step, steps) for step in range(steps)]
    top = values.index(max(values))
    assert values[top] == pytest.approx(1.0)
    assert values[: top + 1] == sorted(values[: top + 1])
    assert values[top:] == sorted(values[top:], reverse=True)
    assert all(value > 0 for value in values)


def test_linear_without_warmup_ends_one_step_above_zero():
    assert [factor("linear", 0.0, step, 4) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]
    assert [factor("linear", 0.5, step, 4) for step in range(4)] == [0.5, 1.0, 1.0, 0.5]
    assert factor("cosine", 0.0, 2, 4) == pytest.approx(0.5)


def test_a_line_reaches_its_end_at_the_last_step():
    assert [line(1.0, 0.4, step, 4) for step in range(5)] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.4])
    assert line(0.7, None, 3, 4) == 0.7
    assert line(1.0, 0.0, 0, 1) == 1.0
