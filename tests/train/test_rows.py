"""What each method reads, and what it says of rows that it cannot use."""

from __future__ import annotations

import pytest

from rlaif.data.records import FailureRecord
from rlaif.data.rows import BadRow
from rlaif.errors import UsageError
from rlaif.train.methods import LOSSES
from rlaif.train.rows import check_examples, read_examples
from tests.reference.fake_run import preference, write_run

GOOD = {"prompt": "hi", "chosen": "good", "rejected": "bad"}


def read(source, method="dpo", labels="soft"):
    return list(read_examples(source, LOSSES[method].rows, labels))


def test_a_human_label_is_certain_and_a_critics_is_what_it_says(write):
    human, critic, against = read(write([GOOD, {**GOOD, "p_chosen": 0.7, "margin": 0.4}, {**GOOD, "p_chosen": 0.2}]))
    assert (human.p, human.margin, human.responses) == (1.0, 0.0, ("good", "bad"))
    assert (critic.p, critic.margin) == (0.7, 0.4)
    assert against.p == 0.2


def test_hh_style_conversations_are_read(write):
    first, second = ("\n\nHuman: hi\n\nAssistant: good", "\n\nHuman: hi\n\nAssistant: bad")
    (example,) = read(write([{"chosen": first, "rejected": second}]))
    assert example.responses == ("good", "bad")
    assert example.prompt[0]["content"] == "hi"


def test_hard_labels_round_and_leave_ties_out(write):
    source = write([{**GOOD, "p_chosen": p} for p in (0.5, 0.51, 0.1)])
    assert [example.p for example in read(source, labels="hard")] == [1.0, 0.0]


def test_sft_keeps_the_better_response(write):
    examples = read(write([GOOD, {**GOOD, "p_chosen": 0.3}]), "sft")
    assert [example.responses for example in examples] == [("good",), ("bad",)]


def test_kto_takes_pairs_apart(write):
    examples = read(write([{**GOOD, "p_chosen": 0.7}]), "kto")
    assert [(example.responses, example.p) for example in examples] == [(("good",), 0.7), (("bad",), pytest.approx(0.3))]


def test_completions_are_read_with_their_labels(write):
    rows = [{"prompt": "hi", "completion": text, "label": label} for text, label in (("a", True), ("b", False))]
    rows.append({"prompt": "hi", "completion": [{"role": "assistant", "content": "c"}], "label": True, "p": 0.8})
    source = write(rows)
    assert [(example.responses[0], example.p) for example in read(source, "kto")] == [("a", 1.0), ("b", 0.0), ("c", 0.8)]
    assert [example.responses[0] for example in read(source, "sft")] == ["a", "b", "c"]


def test_plain_text_is_for_sft(write):
    good, bad = read(write([{"text": "Once upon a time."}, {"text": None}]), "sft")
    assert (good.prompt, good.responses) == ((), ("Once upon a time.",))
    assert isinstance(bad, BadRow)


def test_a_label_runs_folder_is_read_by_every_method(tmp_path):
    import random

    draw = random.Random(0)
    records = [preference(number, draw) for number in range(1, 9)]
    folder = str(write_run(tmp_path / "labelled", records))
    assert [example.p for example in read(folder)] == [record["p_chosen"] for record in records]
    unpaired = read(folder, "kto")
    assert len(unpaired) == 2 * sum(record["p_chosen"] != 0.5 for record in records)
    best = read(folder, "sft")
    assert [example.responses[0] for example in best] == [record["chosen"][0]["content"] for record in records]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**GOOD, "p_chosen": 1.2}, "p_chosen: must be a number between 0 and 1"),
        ({**GOOD, "p_chosen": -0.1}, "p_chosen"),
        ({**GOOD, "p_chosen": None}, "p_chosen"),
        ({**GOOD, "p_chosen": "0.7"}, "p_chosen"),
        ({**GOOD, "p_chosen": True}, "p_chosen"),
        ({**GOOD, "margin": "big"}, "margin"),
        ({**GOOD, "rejected": "good"}, "the same text"),
        ({**GOOD, "rejected": ""}, "empty"),
        ({"prompt": "hi", "responses": ["a", "b"]}, "label the rows first"),
        ({"prompt": "hi", "completion": "a"}, "needs pairs"),
    ],
)
def test_a_row_that_cannot_be_used_is_listed_and_passed(write, row, said):
    bad, good = read(write([row, GOOD]))
    assert isinstance(bad, BadRow)
    assert said in bad.detail
    assert bad.number == 1
    assert good.responses == ("good", "bad")


@pytest.mark.parametrize("label", [None, "yes", 2])
def test_kto_wants_true_or_false(write, label):
    (bad,) = read(write([{"prompt": "hi", "completion": "a", "label": label}]), "kto")
    assert "true or false" in bad.detail


@pytest.mark.parametrize(
    ("rows", "method", "said"),
    [
        ([], "dpo", "no row that dpo can use"),
        ([{**GOOD, "p_chosen": 0.5}] * 2, "reward", "exact tie"),
        ([{"prompt": "hi", "completion": "a", "label": True}] * 2, "kto", "every completion is desirable"),
        ([{"prompt": "hi", "completion": "a", "label": False}] * 2, "kto", "every completion is undesirable"),
    ],
)
def test_a_dataset_with_nothing_to_learn_is_refused(write, rows, method, said):
    examples = read(write(rows), method) if rows else []
    with pytest.raises(UsageError, match=said):
        check_examples(examples, LOSSES[method].rows, method, "rows.jsonl")


def test_where_nothing_can_be_learnt_the_commonest_reason_is_named():
    failures = [FailureRecord(row=n, reason="bad_row", detail=f"no response in row {n}") for n in range(3)]
    failures.append(FailureRecord(row=9, reason="bad_row", detail="not valid JSON"))
    with pytest.raises(UsageError, match=r"no row that dpo can use: 75% of rows: no response in row 0$"):
        check_examples([], "pairs", "dpo", "rows.jsonl", failures)


def test_a_response_of_several_turns_begins_and_ends_with_the_assistant(write):
    def talk(*turns):
        return [{"role": role, "content": text} for role, text in turns]

    own, asked = ("assistant", "b"), ("user", "c")
    good = {"prompt": "a", "chosen": talk(own, asked, ("assistant", "d")), "rejected": "e"}
    bad = [{**good, "chosen": talk(own, asked)}, {**good, "chosen": talk(asked, own)}]
    found = list(read_examples(write([good, *bad]), "pairs", "soft"))
    assert [turn["content"] for turn in found[0].responses[0]] == ["b", "c", "d"]
    assert found[0].responses[1] == "e"
    assert all("must begin and end with an assistant turn" in row.detail for row in found[1:])


def test_sft_reads_revisions_as_completions_or_as_the_better_of_a_pair(write):
    alone = write([{"prompt": "a", "completion": "better", "rounds": 2}], "alone.jsonl")
    paired = write([{"prompt": "a", "chosen": "better", "rejected": "worse", "principles": ["honest"]}], "paired.jsonl")
    for source in (alone, paired):
        (example,) = read_examples(source, "completions", "soft")
        assert example.responses == ("better",)


def test_a_margin_that_is_not_there_costs_no_row(write):
    for method in ("dpo", "reward", "sft", "kto"):
        assert not any(isinstance(example, BadRow) for example in read(write([{**GOOD, "margin": None}]), method))


def test_every_two_of_several_that_are_known_to_differ_make_a_pair(write):
    source = write([{"prompt": "hi", "responses": ["a", "b", "c"], "ratings": [1, 3, 3]}])
    assert {example.responses for example in read(source)} == {("b", "a"), ("c", "a")}
    assert [example.responses for example in read(source, "sft")] == [("b",)]
    assert {example.responses[0]: example.p for example in read(source, "kto")} == {"a": 0.0, "b": 1.0, "c": 1.0}


def test_a_known_tie_is_even_and_no_hard_label(write):
    source = write([{"prompt": "hi", "response_a": "x", "response_b": "y", "winner": "tie"}])
    assert [example.p for example in read(source)] == [0.5]
    assert read(source, labels="hard") == []


def test_calls_are_responses_and_not_empty_ones(write):
    def call(name):
        calls = [{"type": "function", "function": {"name": name, "arguments": "{}"}}]
        return [{"role": "assistant", "content": None, "tool_calls": calls}]

    (example,) = read(write([{"prompt": "hi", "chosen": call("f"), "rejected": call("g")}]))
    assert [turns[0]["tool_calls"][0]["function"]["name"] for turns in example.responses] == ["f", "g"]
    (same,) = read(write([{"prompt": "hi", "chosen": call("f"), "rejected": call("f")}]))
    assert "the same" in same.detail


@pytest.mark.parametrize("method", ["sft", "kto"])
def test_prompts_alone_are_refused_with_what_would_do(write, method):
    (bad,) = read(write([{"messages": [{"role": "user", "content": "hi"}]}]), method)
    assert "messages that end with the answer" in bad.detail


def test_columns_of_other_names(write):
    source = write([{"ask": "hi", "good": "x", "bad": "y", "body": "z"}])
    columns = {"prompt": "ask", "chosen": "good", "rejected": "bad"}
    (example,) = read_examples(source, "pairs", "soft", columns=columns)
    assert example.responses == ("x", "y")
    (text,) = read_examples(source, "completions", "soft", columns={"text": "body"})
    assert (text.prompt, text.responses) == ((), ("z",))
