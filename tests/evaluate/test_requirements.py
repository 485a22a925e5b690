"""What can be required of figures, of whatever kind, and how it is told that they fall short."""

import math

import pytest

from rlaif.errors import UsageError
from rlaif.evaluate.agreement import Interval
from rlaif.evaluate.requirements import CORRELATION, NUMBER, SHARE, missed, requirement

MEASURES = {"share": SHARE, "r": CORRELATION, "models/a b": NUMBER}
FIGURES = {
    "share": Interval(0.5, 0.4, 0.6),
    "share/Chat Hard": Interval(0.2, 0.2, 0.2),
    "r": Interval(-0.2, -0.3, -0.1),
    "models/a b": Interval(1050.0, 1010.0, 1090.0),
    "share/none": Interval(*[math.nan] * 3),
}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("share>0.4", None),
        ("share.low > 40%", "share.low>0.4 is not met: 50.0% [40.0, 60.0]"),
        ("share.low>=.4", None),
        ("share/Chat Hard>0.5", "share/Chat Hard>0.5 is not met: 20.0%"),
        ("r<-0.1", None),
        ("r.high<-0.1", "r.high<-0.1 is not met: -0.2 [-0.3, -0.1]"),
        ("models/a b.low>1000", None),
        ("models/a b>1100", "models/a b>1100 is not met: 1050 [1010, 1090]"),
        ("share/none>0", "share/none>0 cannot be told: the run has no data for share/none"),
        ("share/unknown>0", "share/unknown>0 cannot be told: the run has no data for share/unknown"),
    ],
)
def test_a_figure_an_end_or_a_part_is_held_against_a_number(text, told):
    assert missed([text], MEASURES, FIGURES) == ([told] if told else [])


@pytest.mark.parametrize("text", ["share>2", "r>1.5", "r", "other>1", "share=1", "share>x", "share>0.1 and r<0"])
def test_what_cannot_be_required_is_refused(text):
    with pytest.raises(UsageError, match="--require"):
        requirement(text, MEASURES)
