import pytest

from rlaif.errors import UsageError
from rlaif.rl.methods import METHODS, find_method


def test_each_is_known_by_its_own_name_and_has_a_title():
    assert all(find_method(name).method == name and find_method(name).title for name in METHODS)


@pytest.mark.parametrize(("name", "said"), [("pop", "did you mean ppo"), ("math:pi", "not an on-policy method")])
def test_what_is_no_method_is_refused(name, said):
    with pytest.raises(UsageError, match=said):
        find_method(name)
