"""Supervised rows of the PTX mix as batches."""

from __future__ import annotations

import json

import pytest

from rlaif.errors import UsageError
from rlaif.models.load import find_base
from rlaif.rl.ptx import open_ptx

TURNS = [
    {"role": "assistant", "content": "first"},
    {"role": "user", "content": "and then?"},
    {"role": "assistant", "content": "second"},
]


@pytest.fixture
def drawn(tiny, tmp_path):
    """The texts that a draw would teach, from rows with these completions."""
    base = find_base(str(tiny), "causal", None, "float32", False)

    def call(completions, number=0, seed=0, rows=8):
        path = tmp_path / "sft.jsonl"
        records = ({"prompt": f"question {place}", "completion": one} for place, one in enumerate(completions))
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        batch = open_ptx(str(path), rows, base, seed, "cpu").draw(number)
        return [base.tokenizer.decode(ids[kept]) for ids, kept in zip(batch.tokens, batch.mask, strict=True)]

    return call


def test_what_is_taught_is_the_completion_and_its_end(drawn):
    assert drawn(["an answer"]) == ["an answer<|im_end|>"] * 8


def test_of_several_turns_the_first_is_taught_and_nothing_that_the_user_says(drawn):
    assert drawn([TURNS]) == ["first<|im_end|>"] * 8


def test_a_draw_depends_on_its_number_and_the_seed_alone(drawn):
    many = [f"answer {place}" for place in range(50)]
    assert drawn(many) == drawn(many)
    assert len({tuple(drawn(many, number, seed)) for number in (0, 1) for seed in (0, 1)}) == 4


def test_columns_are_named_and_rows_that_cannot_be_used_are_listed(tiny, tmp_path):
    path = tmp_path / "sft.jsonl"
    rows = [{"ask": "one?", "good": "an answer"}, {"ask": "two?"}, {"ask": "three?", "good": "an answer"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    base = find_base(str(tiny), "causal", None, "float32", False)
    ptx = open_ptx(str(path), 2, base, 0, "cpu", {"prompt": "ask", "completion": "good"})
    assert ptx.used == 2
    assert [failure.row for failure in ptx.failures] == [2, 4]
    with pytest.raises(UsageError, match=r"row 1.*columns ask, good"):
        open_ptx(str(path), 2, base, 0, "cpu")


def test_rows_that_teach_nothing_are_refused(drawn):
    with pytest.raises(UsageError, match="--ptx"):
        drawn([""])
