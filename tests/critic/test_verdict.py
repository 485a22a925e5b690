"""A verdict on a pair the other way round."""

from hypothesis import given
from hypothesis import strategies as st

from rlaif.critic.verdict import TIE, Comparison, Rationale

P = st.integers(0, 16).map(lambda sixteenths: sixteenths / 16)  # 1 - p is exact
COMPARISONS = st.builds(
    Comparison,
    p=P,
    gap=st.none() | P,
    mass=st.none() | P,
    raw=st.tuples(st.text()),
    cut=st.integers(0, 5),
    rationales=st.lists(st.builds(Rationale, st.booleans(), st.text())).map(tuple),
    jury=st.lists(st.none() | P).map(tuple),
)


@given(COMPARISONS)
def test_swapping_twice_changes_nothing_and_once_turns_who_is_better(verdict):
    swapped = verdict.swap()
    assert swapped.swap() == verdict
    assert swapped.p + verdict.p == 1 and (swapped.gap, swapped.mass, swapped.cut) == (verdict.gap, verdict.mass, verdict.cut)
    assert [reason.text for reason in swapped.rationales] == [reason.text for reason in verdict.rationales]
    assert all(one.swapped != other.swapped for one, other in zip(swapped.rationales, verdict.rationales, strict=True))


def test_a_tie_is_one_from_both_sides():
    assert TIE.swap() == TIE
