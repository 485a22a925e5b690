import pytest

from rlaif.errors import RunFailed
from rlaif.integrations.judged import filled


def test_a_missing_value_does_not_move_its_groups_mean():
    values = filled([1.0, None, 0.0, 5.0, None], ["a", "a", "a", "b", "c"])
    assert values == [1.0, 0.5, 0.0, 5.0, 2.0]


def test_without_any_value_there_is_nothing_to_say():
    with pytest.raises(RunFailed, match="none of 2 responses"):
        filled([None, None], ["a", "b"])
