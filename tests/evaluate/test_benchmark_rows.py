"""Benchmarks' own files as preference rows, on excerpts made up here in their shapes."""

import json

import pytest

from rlaif.data.read import read_rows
from rlaif.errors import UsageError
from rlaif.evaluate.benchmark_rows import benchmark_rows, write_rows

JUDGEBENCH = [
    {"pair_id": "x", "question": "q", "response_A": "a", "response_B": "b", "label": "A>B", "source": "livecodebench"},
    {"pair_id": "y", "question": "q", "response_A": "a", "response_B": "b", "label": "B>A", "source": "livecodebench"},
]
TALK = "\n\nHuman: Is it late?\n\nAssistant: Yes.\n\nHuman: How late?\n\nAssistant: "
HHH = [
    {
        "prompt": "\n\nPlease choose … Options:\n (A) [[[Ten.]]]\n (B) [[[Go away.]]]\n\nThe answer is:",
        "corrects": [" (A)"],
        "incorrects": [" (B)"],
        "text_correct": TALK + "Ten.",
        "text_incorrect": TALK + "Go away.",
    }
]
CHOICE = [
    {
        "prompt": f"Human: hi\n\nAssistant: Take\n (A) tea\n\nChoose what it was:\n (A) It was rude.\n (B) It was kind.{end}",
        "corrects": [right],
        "incorrects": [wrong],
    }
    for end, right, wrong in (("\nThe answer is:", " (B)", " (A)"), ("", " (A)", " (B)"))
]


@pytest.fixture
def made(tmp_path):
    def make(rows):
        path = tmp_path / "file.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return make


def test_judgebench_names_the_better_response_and_has_sections(made):
    found = benchmark_rows(made(JUDGEBENCH))
    assert found.by == "source"
    assert [(row["id"], row["chosen"], row["rejected"]) for row in found.rows] == [("x", "a", "b"), ("y", "b", "a")]


def test_hhh_conversations_part_at_the_last_answer(made, tmp_path):
    found = benchmark_rows(made(HHH))
    assert found.by is None
    write_rows(found.rows, tmp_path / "rows.jsonl")
    (row,) = read_rows(str(tmp_path / "rows.jsonl"))
    assert [turn["content"] for turn in row.conversation] == ["Is it late?", "Yes.", "How late?"]
    assert [response.turns[0]["content"] for response in row.responses] == ["Ten.", "Go away."] and row.preferred == 0


def test_the_options_of_a_choice_become_the_responses(made):
    first, second = benchmark_rows(made(CHOICE)).rows
    assert first["prompt"] == "Human: hi\n\nAssistant: Take\n (A) tea\n\nChoose what it was:"
    assert (first["chosen"], first["rejected"]) == ("It was kind.", "It was rude.")
    assert (second["chosen"], second["rejected"]) == ("It was rude.", "It was kind.")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([JUDGEBENCH[0], JUDGEBENCH[1] | {"label": "A=B"}], "row 2: label is 'A=B'"),
        ([JUDGEBENCH[0], {"question": "q"}], "row 2: expected the columns label, question"),
        (
            [CHOICE[0], CHOICE[0] | {"corrects": [" (C)"]}],
            r"row 2: the prompt does not end in options with the labels ' \(C\)'",
        ),
        ([CHOICE[0] | {"prompt": "no options"}], "row 1: the prompt does not end in options"),
        ([CHOICE[0] | {"corrects": []}], "row 1: the prompt does not end in options"),
        ([CHOICE[0] | {"corrects": 7}], "row 1: "),
    ],
)
def test_a_row_unlike_the_others_is_named(made, rows, said):
    path = made(rows)
    with pytest.raises(UsageError, match=f"{path}: {said}"):
        list(benchmark_rows(path).rows)


def test_other_files_are_no_benchmark(made):
    assert benchmark_rows(made([{"prompt": "q", "responses": ["a", "b"]}])) is None
    assert benchmark_rows(made([7])) is None
