"""Records of verdicts: whatever is said of a pair is turned to its chosen side."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.constitution.types import Constitution, Principle
from rlaif.critic.verdict import Comparison, Failure, FailureReason
from rlaif.data.rows import Response, Row, Turn
from rlaif.label.records import OWN, preference_record, riding, score_record

KIND = Principle("kind", "It is kind.", weight=3.0)
OVERALL = Principle("overall", "It is good.")


def constitution(*principles):
    return Constitution(name="c", version=1, principles=principles)


def row(*golds, preferred=None, **extra):
    responses = [
        Response((Turn(role="assistant", content=str(number)),), {"model": f"m{number}"}, gold)
        for number, gold in enumerate(golds)
    ]
    return Row(7, "x", (Turn(role="user", content="q"),), tuple(responses), preferred, extra)


@given(st.floats(0, 1), st.floats(0, 1))
def test_turning_a_pair_around_gives_the_same_record_but_for_its_id(p, verdict):
    source = row({"kind": 0.25}, {"kind": 0.75})
    judged, turned = [(KIND, Comparison(verdict, 0.1, 0.9, ()))], [(KIND, Comparison(1.0 - verdict, 0.1, 0.9, ()))]
    record = preference_record(source, (0, 1), p, judged, constitution(KIND), "critic")
    mirrored = preference_record(source, (1, 0), 1.0 - p, turned, constitution(KIND), "critic")
    assert (record.id, mirrored.id) == ("x:0-1", "x:1-0")
    if record.p_chosen > 0.5:  # at ½ it is the order that makes one of them the chosen one
        assert (mirrored.chosen, mirrored.extra, mirrored.gold) == (record.chosen, record.extra, record.gold)
        assert mirrored.p_chosen == pytest.approx(record.p_chosen, abs=2e-6)
        assert mirrored.principles[0].p == pytest.approx(record.principles[0].p, abs=2e-6)
    assert record.gold_margins == {"kind": 0.5 if record.chosen_index == 1 else -0.5}
    assert record.extra["chosen_model"] == f"m{record.chosen_index}"


def test_a_failed_verdict_has_no_number():
    failure = Failure(FailureReason.REFUSED, "no")
    record = preference_record(row({}, {}), (0, 1), 0.7, [(KIND, failure)], constitution(KIND), "critic")
    assert record.principles[0].p is None and record.principles[0].failure == "refused"


def test_the_whole_and_a_principle_called_overall_are_kept_apart():
    judged = [(OVERALL, Comparison(0.6, None, None, ()))]
    source = row({"overall": 1.0, "principles/overall": 0.0}, {"overall": 0.0, "principles/overall": 0.5})
    record = preference_record(source, (0, 1), 0.6, judged, constitution(OVERALL), "critic")
    assert record.gold_margin == 1.0 and record.gold_margins == {"overall": -0.5}
    scored = score_record(source, 1, 0.5, [], "critic")
    assert scored.gold_score == 0.0 and scored.gold_scores == {"overall": 0.5}
    without = preference_record(
        row({"principles/overall": 0.0}, {"principles/overall": 0.5}), (0, 1), 0.6, judged, constitution(OVERALL), "critic"
    )
    assert without.gold_margin == -0.5  # by the principles' weights, as of any other name


def test_a_source_column_never_takes_the_place_of_the_records_own():
    assert riding(dict.fromkeys(OWN, 1)) == {f"row_{name}": 1 for name in OWN}
    assert riding({"tags": [1]}) == {"tags": [1]}
