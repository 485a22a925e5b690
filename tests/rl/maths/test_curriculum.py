import pytest

from rlaif.rl.maths.curriculum import chance, learnability


@pytest.mark.parametrize("solved", range(9))
def test_of_right_and_wrong_it_is_the_binomials_deviation(solved):
    p = solved / 8
    assert learnability([1.0] * solved + [0.0] * (8 - solved)) == pytest.approx((p * (1 - p)) ** 0.5)


def test_the_most_learnable_is_always_asked_and_what_is_alike_seldom():
    known = {1: 0.4, 2: 0.1, 3: 0.0}
    assert [chance(prompt, known, 0.2) for prompt in (1, 2, 3, 4)] == [1.0, 0.25, 0.2, 1.0]
    assert chance(3, {3: 0.0}, 0.2) == chance(3, {}, 0.2) == 1.0
