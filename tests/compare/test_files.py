"""What a comparison writes itself: rows, known labels, parts of a constitution."""

from __future__ import annotations

import json

import pytest

from rlaif.compare.config import CompareConfig
from rlaif.compare.files import (
    is_paired,
    known,
    principles,
    principles_of,
    read_jsonl,
    read_source,
    relabelled,
    responses,
    write_rows,
)
from rlaif.constitution.load import load_constitution
from rlaif.data.records import GoldMargin, PreferenceRecord, read_records
from rlaif.data.write import JsonlWriter
from rlaif.errors import RunFailed, UsageError
from rlaif.lab.gold import gold
from rlaif.settings import configure


def turns(text):
    return ({"role": "assistant", "content": text},)


def record(number, margin):
    """The critic chose ``a``; what is known says by how much that is better."""
    labels = () if margin is None else (GoldMargin(id="overall", margin=margin),)
    prompt = ({"role": "user", "content": f"p{number}"},)
    pair = {"chosen": turns(f"a{number}"), "rejected": turns(f"b{number}"), "chosen_index": 1, "rejected_index": 0}
    return PreferenceRecord(id=str(number), prompt=prompt, p_chosen=0.7, row=number, gold=labels, critic="c", **pair)


@pytest.fixture
def labelled(tmp_path):
    """Of a label run with so many right and wrong verdicts, ties and pairs of which nothing is known: its folder."""

    def call(right, wrong, ties=0, unknown=0):
        margins = [1.0] * right + [-1.0] * wrong + [0.0] * ties + [None] * unknown
        with JsonlWriter(tmp_path / "preferences.jsonl") as writer:
            for number, margin in enumerate(margins, 1):
                writer.write(record(number, margin))
        return tmp_path

    return call


def agreement(path):
    """Share of the labels that choose ``a`` exactly where it is better: which records are right is told by their numbers."""
    return [item.chosen[0]["content"][0] for item in read_records(path, PreferenceRecord)]


def test_known_labels_are_what_is_known(labelled, tmp_path, lab):
    folder = labelled(right=5, wrong=3, ties=2, unknown=1)
    took = known(lab(), {"source": folder}, tmp_path / "known.jsonl", seed=0)
    assert took == {"known_labels": 8, "agreement": 5 / 8}
    assert agreement(tmp_path / "known.jsonl") == ["a"] * 5 + ["b"] * 3
    assert {item.p_chosen for item in read_records(tmp_path / "known.jsonl", PreferenceRecord)} == {1.0}


@pytest.mark.parametrize("seed", range(5))
def test_noisy_labels_agree_with_what_is_known_as_often_as_the_critic_s(labelled, tmp_path, lab, seed):
    folder = labelled(right=30, wrong=10, ties=2)
    known(lab(), {"source": folder, "noisy": True}, tmp_path / "noisy.jsonl", seed)
    truth = ["a"] * 30 + ["b"] * 10
    kept = agreement(tmp_path / "noisy.jsonl")
    assert sum(ours == theirs for ours, theirs in zip(kept, truth, strict=True)) == 30
    assert kept != ["a"] * 40  # not the critic's own mistakes


def test_noise_is_another_with_another_seed(labelled, tmp_path, lab):
    folder = labelled(right=30, wrong=10)
    for seed in (0, 0, 1):
        known(lab(), {"source": folder, "noisy": True}, tmp_path / f"{seed}.jsonl", seed)
    assert agreement(tmp_path / "0.jsonl") != agreement(tmp_path / "1.jsonl")


def test_without_any_known_label_there_is_nothing_to_learn(labelled, tmp_path, lab):
    with pytest.raises(RunFailed, match="no pair has a known label"):
        known(lab(), {"source": labelled(0, 0, ties=2, unknown=1)}, tmp_path / "known.jsonl", 0)


def test_a_pair_that_is_turned_around_keeps_its_texts():
    turned = relabelled(record(1, 1.0), stays=False)
    assert (turned.chosen, turned.rejected) == (turns("b1"), turns("a1"))
    assert (turned.chosen_index, turned.rejected_index) == (0, 1)
    assert turned.critic == "known" and turned.p_chosen == 1.0 and not turned.principles


def test_the_lab_draws_its_own_prompts(lab, tmp_path):
    for seed in (0, 0, 1):
        write_rows(lab(budget=20, held_out=5), [], tmp_path / str(seed), seed)
    rows, held_out = (list(read_jsonl(tmp_path / "0" / f"{name}.jsonl")) for name in ("rows", "heldout"))
    assert len(rows) == 10 and len(held_out) == 5
    assert not {row["prompt"] for row in rows} & {row["prompt"] for row in held_out}
    assert rows != list(read_jsonl(tmp_path / "1" / "rows.jsonl"))


def test_gold_stands_beside_the_lab_s_responses(lab, tmp_path):
    write_rows(lab(), [], tmp_path, 0)
    question = next(read_jsonl(tmp_path / "rows.jsonl"))["prompt"]
    row = {"prompt": [{"role": "user", "content": question}], "responses": ["No idea.", "I quote the almanac."]}
    (tmp_path / "samples.jsonl").write_text(json.dumps(row) + "\n")
    responses(lab(), {"source": str(tmp_path / "samples.jsonl")}, tmp_path / "r.jsonl", 0)
    (written,) = read_jsonl(tmp_path / "r.jsonl")
    assert written["responses"] == [{"text": text, "gold": gold(question, text)} for text in row["responses"]]


@pytest.fixture
def elsewhere(tmp_path):
    """Rows to a configuration of ``rlaif compare``."""
    (tmp_path / "c.yaml").write_text("{name: c, version: 1, principles: [{id: kind, text: The response is kind.}]}")

    def call(rows, **settings):
        (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        given = {
            "source": str(tmp_path / "in.jsonl"),
            "model": "m",
            "out": tmp_path / "out",
            "constitution": tmp_path / "c.yaml",
        }
        return configure(CompareConfig, **{**given, "critic": "script:s.yaml", "held_out": 2, "budget": 8, **settings})

    return call


def test_rows_are_split_by_prompt(elsewhere, tmp_path):
    config = elsewhere([{"prompt": f"p{n % 9}", "topic": n} for n in range(20)], samples=2)
    rows = read_source(config)
    assert len(rows) == 9 and not is_paired(rows)
    write_rows(config, rows, tmp_path / "s", 0)
    training, held_out = (list(read_jsonl(tmp_path / "s" / f"{name}.jsonl")) for name in ("rows", "heldout"))
    assert len(held_out) == 2 and len(training) == 4  # eight responses, two each
    texts = [row["prompt"][0]["content"] for row in (*training, *held_out)]
    assert len(set(texts)) == 6 and "topic" in training[0]


def test_pairs_keep_their_preference(elsewhere, tmp_path):
    config = elsewhere([{"prompt": f"p{n}", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(9)])
    rows = read_source(config)
    assert is_paired(rows)
    write_rows(config, rows, tmp_path / "s", 0)
    training = list(read_jsonl(tmp_path / "s" / "rows.jsonl"))
    assert len(training) == 4 and all(row["chosen"][0]["content"].startswith("good") for row in training)
    assert all("chosen" not in row for row in read_jsonl(tmp_path / "s" / "heldout.jsonl"))


def test_too_few_rows_are_refused(elsewhere):
    with pytest.raises(UsageError, match=r"3 prompts, of which --held-out 2 are held out"):
        read_source(elsewhere([{"prompt": f"p{n}"} for n in range(3)]))


def test_the_constitution_falls_into_safety_and_the_rest(lab, tmp_path):
    for safe, ids in ((True, ["harmless"]), (False, ["polite"])):
        principles(lab(), {"safe": safe}, tmp_path / "part.yaml", 0)
        part = load_constitution(tmp_path / "part.yaml")
        assert [each.id for each in part.principles] == ids


def test_a_principle_that_there_is_not_cannot_be_safety(lab):
    with pytest.raises(UsageError, match=r"--safety kind: .* has the principles polite, harmless"):
        principles_of(lab(safety=("kind",)))
