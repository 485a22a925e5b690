import pytest

from rlaif.errors import UsageError
from rlaif.train.methods import LOSSES, find_loss


def test_each_is_known_by_its_own_name_and_has_a_title():
    assert all(find_loss(name).name == name and find_loss(name).title for name in LOSSES)


def test_only_what_teaches_a_policy_to_prefer_goes_on_in_rounds():
    assert {name for name in LOSSES if find_loss(name).prefers()} == {"dpo", "ipo", "kto", "orpo", "cpo", "simpo"}


@pytest.mark.parametrize(("name", "said"), [("dop", "did you mean dpo"), ("math:pi", "not an offline method")])
def test_what_is_no_loss_is_refused(name, said):
    with pytest.raises(UsageError, match=said):
        find_loss(name)
