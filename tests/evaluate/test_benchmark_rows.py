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


REWARDBENCH = {
    "id": 7,
    "prompt": "q",
    "chosen": "a",
    "chosen_model": "m",
    "rejected": "b",
    "rejected_model": "n",
    "subset": "math-prm",
}
REWARDBENCH_2 = [
    {"id": "4", "prompt": "q", "chosen": ["a"], "rejected": ["b", "c", "d"], "num_correct": 1, "subset": "Math"},
    {"id": "tied:0", "prompt": "q", "chosen": ["a", "b"], "rejected": ["c"], "num_correct": 2, "subset": "Ties"},
]
MT_BENCH = [
    {
        "question_id": 95,
        "model_a": "m",
        "model_b": "n",
        "winner": winner,
        "judge": "expert_1",
        **{
            f"conversation_{side}": [
                {"role": role, "content": f"{side}{number}" if role == "assistant" else f"q{number}"}
                for number in (1, 2)
                for role in ("user", "assistant")
            ]
            for side in "ab"
        },
        "turn": turn,
    }
    for winner, turn in (("model_b", 1), ("tie", 2))
]


@pytest.fixture
def made(tmp_path):
    def make(rows):
        path = tmp_path / "file.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

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


def test_rewardbench_keeps_its_subsets(made):
    found = benchmark_rows(made([REWARDBENCH]))
    assert found.by == "subset" and list(found.rows) == [REWARDBENCH | {"id": "7"}]


def test_rewardbench_2_as_pairs_and_as_lists(made, tmp_path):
    path = made(REWARDBENCH_2)
    pairs = list(benchmark_rows(path).rows)
    assert [(row["id"], row["prompt_id"], row["chosen"], row["rejected"]) for row in pairs] == [
        (f"4#{number}", "4", "a", wrong) for number, wrong in enumerate("bcd")
    ]
    write_rows(benchmark_rows(path, pairwise=False).rows, tmp_path / "rows.jsonl")
    lists = list(read_rows(str(tmp_path / "rows.jsonl")))
    assert [[response.gold["overall"] for response in row.responses] for row in lists] == [[1, 0, 0, 0], [1, 1, 0]]
    assert (lists[1].id, lists[1].extra["num_correct"], lists[1].extra["num_incorrect"]) == ("tied:0", 2, 1)


def test_judgments_of_mt_bench_are_of_one_turn_or_both(made, tmp_path):
    found = benchmark_rows(made(MT_BENCH))
    assert found.by == "category"
    write_rows(found.rows, tmp_path / "rows.jsonl")
    first, both = read_rows(str(tmp_path / "rows.jsonl"))
    assert [[turn["content"] for turn in response.turns] for response in first.responses] == [["a1"], ["b1"]]
    assert [[turn["content"] for turn in response.turns] for response in both.responses] == [
        ["a1", "q2", "a2"], ["b1", "q2", "b2"],
    ]  # fmt: skip
    assert first.preferred == 1 and both.preferred is None
    assert [response.gold["overall"] for response in both.responses] == [0.5, 0.5]
    assert first.extra["category"] == "roleplay"


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
        ([REWARDBENCH_2[0] | {"rejected": []}], "row 1: chosen and rejected: expected lists of texts"),
        ([REWARDBENCH_2[0], REWARDBENCH], "row 2: expected the columns"),
    ],
)
def test_a_row_unlike_the_others_is_named(made, rows, said):
    path = made(rows)
    with pytest.raises(UsageError, match=f"{path}: {said}"):
        list(benchmark_rows(path).rows)


def test_other_files_are_no_benchmark(made):
    assert benchmark_rows(made([{"prompt": "q", "responses": ["a", "b"]}])) is None
    assert benchmark_rows(made([7])) is None
