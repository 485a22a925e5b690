from hypothesis import given
from hypothesis import strategies as st

from rlaif.data.pairs import pair_key
from tests.reference.fake_run import turn

TEXTS = st.text(st.characters(), max_size=5)


def key(prompt, first, second):
    return pair_key([turn("user", prompt)], [turn("assistant", first)], [turn("assistant", second)])


@given(TEXTS, TEXTS, TEXTS)
def test_a_name_is_of_both_orders_and_one_of_them_comes_first(prompt, one, other):
    (name, first), (again, second) = key(prompt, one, other), key(prompt, other, one)
    assert name == again and (first != second or one.encode("utf-8", "replace") == other.encode("utf-8", "replace"))


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_other_texts_have_another_name(prompt, one, other, third):
    if len({text.encode("utf-8", "replace") for text in (one, other, third)}) == 3:
        assert key(prompt, one, other)[0] != key(prompt, one, third)[0]
        assert key(one, prompt, other)[0] != key(third, prompt, other)[0]


def test_the_order_of_a_turns_keys_does_not_matter():
    turns = [{"content": "a", "role": "assistant"}]
    assert pair_key([], turns, [turn("assistant", "b")]) == key_of_nothing()


def key_of_nothing():
    return pair_key([], [turn("assistant", "a")], [turn("assistant", "b")])
