"""Properties of aggregation over principles."""

import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rlaif.critic.aggregate import Opinion, decisive, draw, preference, reward, weighted, worst

HOW = st.sampled_from(["weighted", "sampled", "worst"])
PROBABILITY = st.floats(0.001, 0.999)
GATE = st.none() | st.floats(0.51, 1.0)
OPINION = st.builds(Opinion, st.none() | PROBABILITY, st.floats(0.01, 10), GATE)
OPINIONS = st.lists(OPINION, min_size=1, max_size=7)


def swapped(opinions):
    return [item._replace(value=None if item.value is None else 1 - item.value) for item in opinions]


@given(OPINIONS, HOW)
def test_swapping_the_responses_mirrors_the_preference(opinions, how):
    here, there = preference(opinions, how), preference(swapped(opinions), how)
    assert (here is None) == (there is None)
    if here is not None:
        assert here == pytest.approx(1 - there, abs=1e-9)


@given(OPINIONS, HOW, st.randoms())
def test_the_order_of_principles_does_not_matter(opinions, how, rng):
    shuffled = rng.sample(opinions, len(opinions))
    assert preference(shuffled, how) == pytest.approx(preference(opinions, how), abs=1e-12)
    assert reward(shuffled, how) == pytest.approx(reward(opinions, how), abs=1e-12)


@given(OPINIONS, HOW)
def test_missing_verdicts_change_nothing(opinions, how):
    known = [item for item in opinions if item.value is not None]
    assert preference(opinions, how) == preference(known, how)
    assert reward(opinions, how) == reward(known, how)


@pytest.mark.parametrize("how", ["weighted", "worst"])
def test_without_any_verdict_there_is_no_number(how):
    assert preference([Opinion(None, 1.0)], how) is None
    assert reward([], how) is None


@given(st.lists(st.builds(Opinion, PROBABILITY, st.floats(0.01, 10)), min_size=1, max_size=7), HOW, st.data())
def test_without_gates_a_better_verdict_never_hurts(opinions, how, data):
    index = data.draw(st.integers(0, len(opinions) - 1))
    raised = data.draw(st.floats(opinions[index].value, 1.0))
    better = [*opinions[:index], opinions[index]._replace(value=raised), *opinions[index + 1 :]]
    assert preference(better, how) >= preference(opinions, how) - 1e-12
    assert reward(better, how) >= reward(opinions, how) - 1e-12


@given(OPINIONS, HOW, st.data())
def test_a_better_verdict_that_leaves_the_gates_as_they_are_never_hurts(opinions, how, data):
    index = data.draw(st.integers(0, len(opinions) - 1))
    item = opinions[index]._replace(value=data.draw(PROBABILITY))
    raised = item._replace(value=data.draw(st.floats(item.value, 0.999)))
    here, there = ([*opinions[:index], one, *opinions[index + 1 :]] for one in (item, raised))
    assume(bool(decisive([item])) == bool(decisive([raised])))
    assert preference(there, how) >= preference(here, how) - 1e-12


def test_a_gate_that_opens_may_overrule_what_was_surer():
    opinions = [Opinion(0.74, 1.0, gate=0.75), Opinion(0.99, 1.0)]
    assert preference(opinions, "weighted") == pytest.approx(0.865)
    assert preference([opinions[0]._replace(value=0.76), opinions[1]], "weighted") == pytest.approx(0.76)


def test_several_open_gates_share_the_decision_by_weight():
    opinions = [Opinion(0.9, 3.0, gate=0.8), Opinion(0.1, 1.0, gate=0.8), Opinion(0.5, 9.0), Opinion(0.7, 9.0, gate=0.8)]
    assert decisive(opinions) == opinions[:2]
    assert preference(opinions, "worst") == pytest.approx(0.7)


def test_weights_of_zero_are_left_out_unless_there_is_nothing_else():
    assert weighted([Opinion(0.9, 0.0), Opinion(0.4, 2.0)]) == pytest.approx(0.4)
    assert weighted([Opinion(0.9, 0.0), Opinion(0.4, 0.0)]) == pytest.approx(0.65)


def test_two_certain_defects_cancel_out():
    assert worst([Opinion(0.0, 1.0), Opinion(1.0, 5.0)]) == 0.5
    assert worst([Opinion(0.0, 1.0), Opinion(0.9, 5.0)]) == 0.0


@given(OPINIONS, HOW)
def test_the_result_lies_among_the_verdicts(opinions, how):
    values = [item.value for item in opinions if item.value is not None]
    result = preference(opinions, "weighted")
    if values:
        assert min(values) - 1e-9 <= result <= max(values) + 1e-9
        assert 0 <= preference(opinions, how) <= 1


def test_weights_are_proportions():
    assert preference([Opinion(0.9, 3.0), Opinion(0.5, 1.0)], "weighted") == pytest.approx(0.8)


def test_one_principle_is_its_own_worst():
    assert preference([Opinion(0.83, 2.0)], "worst") == pytest.approx(0.83)


def test_worst_prefers_the_response_whose_weakest_principle_is_stronger():
    # First response: a little better on two principles, certainly worse on the third.
    assert preference([Opinion(0.6, 1.0), Opinion(0.6, 1.0), Opinion(0.02, 1.0)], "worst") < 0.1
    assert preference([Opinion(0.6, 1.0), Opinion(0.6, 1.0), Opinion(0.02, 1.0)], "weighted") > 0.4


@pytest.mark.parametrize(("p", "expected"), [(0.95, 0.95), (0.05, 0.05), (0.7, 0.4)])
def test_a_sure_gate_decides_alone_in_either_direction(p, expected):
    opinions = [Opinion(p, 1.0, gate=0.75), Opinion(0.1, 1.0)]
    assert preference(opinions, "weighted") == pytest.approx(expected)


def test_a_gate_vetoes_a_response_but_does_not_excuse_it():
    assert reward([Opinion(-0.9, 1.0, gate=0.75), Opinion(1.0, 9.0)], "weighted") == pytest.approx(-0.9)
    assert reward([Opinion(0.9, 1.0, gate=0.75), Opinion(-1.0, 1.0)], "weighted") == pytest.approx(-0.05)


def test_draws_follow_the_weights_and_repeat():
    weights = [1.0, 0.0, 3.0]
    drawn = [draw(weights, 7, f"row-{index}", (0, 1)) for index in range(4000)]
    assert drawn == [draw(weights, 7, f"row-{index}", (0, 1)) for index in range(4000)]
    assert drawn.count(1) == 0
    assert drawn.count(2) / len(drawn) == pytest.approx(0.75, abs=0.03)
    assert drawn != [draw(weights, 8, f"row-{index}", (0, 1)) for index in range(4000)]


def test_a_draw_is_always_a_principle_that_may_be_drawn():
    rng = random.Random(0)
    for trial in range(500):
        weights = [rng.choice([0.0, 1e-300, 1.0, 1e300]) for _ in range(4)] + [1.0]
        assert weights[draw(weights, trial)] > 0
