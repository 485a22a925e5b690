import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rlaif.rl.rewards.checks import exact, final_letter, final_number, multiple_choice, numeric, regular_expression

TEXT = st.text(st.characters(exclude_categories=("Nd", "Cs"), exclude_characters="#=\\.-+,_"), max_size=30)


@given(TEXT, st.integers(-(10**9), 10**9), TEXT)
def test_a_number_is_found_in_any_words(before, number, after):
    assume(
        not re.search(r"answer\s*(is|:)", before + after, re.I) and not re.match(r"\w", after) and not re.search(r"\w$", before)
    )
    response = f"{before}{number}{after}"
    assert numeric({"answer": number}, response) == 1.0
    assert numeric({"answer": str(number + 1)}, response) == 0.1
    assert numeric({"answer": number}, before + after) == 0.0


@given(st.floats(-1e6, 1e6), st.floats(0, 1e3))
def test_the_tolerance_is_what_decides(answer, off):
    near = 1e-2 * max(1.0, abs(answer))
    assume(abs(off - near) > 1e-6 * near)
    said = f"It is {answer + off!r}"
    assert numeric({"answer": repr(answer)}, said, tolerance=1e-2) == (1.0 if off < near else 0.1)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2 + 2 = 4, so 4 apples for 3 people", 4),
        ("First 7, then 9.\n#### 1,234", 1234),
        (r"so \boxed{-3.5} holds, see 12", -3.5),
        ("The answer is 5. I am 100 sure", 5),
        ("the answer is clear: 3 or 8", 3),
        ("12 and then 1e3", 1000),
        ("Answer: none, but 6 came before", 6),
        ("= nothing", None),
        ("version v2 of x3", None),
        ("1,23 is no thousand", 23),
        ("$5.", 5),
    ],
)
def test_the_last_word_on_the_number_counts(text, number):
    assert final_number(text) == number


@pytest.mark.parametrize(
    ("answer", "said", "reward"),
    [
        ("1/2", "It is 1/2", None),
        ("10 (5 + 5)", "10", None),
        ("5 + 5 = 10", "The answer is 10", 1.0),
        ("2 + 3\n#### 5", "#### 5", 1.0),
        ("-5", "It is \u22125", 1.0),
        ("\u22125", "-5", 1.0),
    ],
)
def test_an_answer_is_one_number_or_none(answer, said, reward):
    assert numeric({"answer": answer}, said) == reward


def test_other_columns_lists_and_rows_without_an_answer():
    assert numeric({"target": ["3", "4"]}, "4", column="target") == 1.0
    for check in (exact, numeric, multiple_choice, regular_expression):
        assert check({}, "4 B") is None and check({"answer": None}, "4 B") is None and check({"answer": []}, "4 B") is None
    assert numeric({"answer": "four"}, "4") is None


@given(
    st.sampled_from("ABCDE"),
    st.sampled_from(
        [
            "({})",
            "The answer is {}.",
            "{}",
            "I choose {}",
            "Answer: {}, not (A)",
            "so {})",
            "**{}**",
            r"so \boxed{{{}}}",
        ]
    ),
)
def test_a_letter_is_found_however_it_is_written(letter, form):
    response = form.format(letter)
    assert multiple_choice({"answer": letter}, response) == 1.0
    assert multiple_choice({"answer": f"({letter})"}, response) == 1.0
    assert multiple_choice({"answer": "F"}, response) == 0.1
    assert multiple_choice({"answer": "B"}, "The answer is B because of this") == 1.0


@pytest.mark.parametrize("text", ["A dog came", "The answer is A dog", "I am sure", "nothing", "", "DNA, RNA.", "it's B's"])
def test_a_letter_in_a_word_is_no_choice(text):
    assert final_letter(text) is None
    assert multiple_choice({"answer": "A"}, text) == 0.0


@given(st.text(min_size=1, max_size=20))
def test_exact_forgives_case_space_and_the_full_stop_only(text):
    assume(text.strip())
    assert exact({"answer": text}, f"  {text}\n") == 1.0
    assert exact({"answer": text}, f"{text} x") == 0.0
    assert exact({"answer": ["other", "Some  Text."]}, "some text") == 1.0


def test_patterns_come_from_the_row_or_from_the_options():
    assert regular_expression({"answer": r"\d{3}"}, "call 911") == 1.0
    assert regular_expression({"answer": [r"x+", "911"]}, "call 911") == 1.0
    assert regular_expression({}, "call 911", pattern="^911") == 0.0
    with pytest.raises(re.error):
        regular_expression({"answer": "("}, "x")
