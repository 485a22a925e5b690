"""JudgeBench's way of counting, on decisions written out by hand."""

import json
import math
from dataclasses import replace

import pytest

from rlaif.data.records import PrincipleVerdict
from rlaif.errors import UsageError
from rlaif.evaluate.benchmark import best_of, best_of_cells, cells, decisions, section, sections
from tests.reference.fake_run import turn, write_run


def entry(first, last, name="right", weight=1.0):
    """A verdict by p that chosen is better where it is shown first, and where it is shown last."""
    return PrincipleVerdict(id=name, p=round((first + last) / 2, 6), gap=round(first - last, 6), weight=weight, mass=1.0)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (0.9, 0.6, (1, 1)),
        (0.9, 0.2, (1, -1)),
        (0.3, 0.8, (-1, 1)),
        (0.5, 0.8, (0, 1)),
        (0.5, 0.5, (0, 0)),
        (0.5, 0.333333, (0, -1)),
    ],
)
def test_each_order_decides_for_itself(first, last, expected):
    assert decisions([entry(first, last)], {}, "weighted") == expected


def test_principles_decide_together_in_each_order():
    entries = [entry(0.9, 0.1, "a"), entry(0.2, 0.7, "b", 3.0), replace(entry(0.5, 0.5, "c"), p=None, gap=None)]
    assert decisions(entries, {}, "weighted") == (-1, 1)
    assert decisions(entries, {"a": 0.9}, "weighted") == (1, -1)
    assert decisions([replace(entry(0.9, 0.1), gap=None)], {}, "weighted") is None


def record(number, source, first, last, margin, **extra):
    p = (first + last) / 2
    return {
        "id": f"{number}:0-1",
        "prompt": [turn("user", "q")],
        "chosen": [turn("assistant", "a")],
        "rejected": [turn("assistant", "b")],
        "p_chosen": p,
        "margin": 2 * p - 1,
        "principles": [entry(first, last).to_dict()],
        "rationale": None,
        "critic": "x",
        "row": number,
        "chosen_index": 0,
        "rejected_index": 1,
        "gold": [] if margin is None else [{"id": "overall", "margin": margin}],
        "source": source,
        **extra,
    }


def test_contradictions_and_double_ties_are_wrong_and_one_tie_is_not(tmp_path):
    records = [
        record(1, "mmlu-pro-law", 0.9, 0.8, 1.0),  # right
        record(2, "mmlu-pro-math", 0.9, 0.2, 1.0),  # contradiction, though the mean is right
        record(3, "livebench-math", 0.5, 0.8, 1.0),  # a tie and a decision: right
        record(4, "livecodebench", 0.5, 0.5, 1.0),  # two ties
        record(5, "livecodebench", 0.9, 0.8, -1.0),  # wrong
        record(6, "livebench-reasoning", 0.9, 0.8, None),  # no label
    ]
    found = {one.name: one for one in sections(write_run(tmp_path, records), "source")}
    assert list(found) == ["Knowledge", "Math", "Coding", "all"]
    assert [(one.pairs, one.both.value, one.contradictions.value, one.mean.value) for one in found.values()] == [
        (2, 0.5, 0.5, 1.0), (1, 1.0, 0.0, 1.0), (2, 0.0, 0.0, 0.0), (5, 0.4, 0.2, 0.6),
    ]  # fmt: skip
    assert [one.name for one in sections(tmp_path)] == ["all"]
    with pytest.raises(UsageError, match="column 'family'"):
        sections(tmp_path, "family")


def test_sections_go_by_the_beginning_of_the_source():
    assert [section(name) for name in ("mmlu-pro-computer science", "livebench-math", "mine")] == ["Knowledge", "Math", "mine"]


def test_known_ties_are_right_where_the_orders_differ(tmp_path):
    records = [
        record(1, "", 0.9, 0.8, 1.0),  # right
        record(2, "", 0.9, 0.2, 1.0),  # a tie by its orders: wrong
        record(3, "", 0.9, 0.2, 0.0),  # a tie, and known to be one
        record(4, "", 0.9, 0.8, 0.0),
        record(5, "", 0.5, 0.8, -1.0),
    ]
    (every,) = sections(write_run(tmp_path, records))
    assert (every.pairs, every.ties, every.with_ties.value) == (3, 2, 0.4)
    assert every.mean.value == pytest.approx(2 / 3)
    assert cells([every])[0][-2:] == ["ties", "ties counted"]


def test_rewardbench_has_subsets_and_sections_that_weigh_alike(tmp_path):
    subsets = ["math-prm", "hep-js", "hep-js", "hep-cpp", "donotanswer", "donotanswer"]
    wins = [1.0, -1.0, -1.0, 1.0, 1.0, 1.0]
    records = [
        record(n, "", 0.9, 0.8, margin, subset=subset, prompt=[turn("user", str(n))])
        for n, (subset, margin) in enumerate(zip(subsets, wins, strict=True), 1)
    ]
    found = {one.name: one for one in sections(write_run(tmp_path, records), "subset")}
    assert list(found) == ["donotanswer", "math-prm", "hep-cpp", "hep-js", "Safety", "Reasoning", "all"]
    reasoning = (1 + 1 / 3) / 2
    assert found["Reasoning"].mean.value == pytest.approx(reasoning)
    assert found["all"].mean.value == found["all"].both.value == pytest.approx((1 + reasoning) / 2)


def of_prompt(number, name, p, margin, wrong=2):
    known = {"subset": "Math", "prompt_id": name, "num_correct": 1, "num_incorrect": wrong}
    return record(number, "", p, p, margin, **known)


def test_best_of_several_takes_all_pairs_of_a_prompt(tmp_path):
    records = [
        of_prompt(1, "x", 0.9, 1.0),
        of_prompt(2, "x", 0.6, 1.0),  # x: above both
        of_prompt(3, "y", 0.9, 1.0),
        of_prompt(4, "y", 0.6, -1.0),  # y: below one
        of_prompt(5, "z", 0.9, 1.0),  # z: one pair has no verdict
    ]
    subset, every = best_of(write_run(tmp_path, records))
    assert (subset.name, subset.prompts, subset.score.value, every.score.value) == ("Math", 2, 0.5, 0.5)
    assert best_of_cells([subset])[1][:2] == ["Math", "2"]
    assert best_of(write_run(tmp_path / "other", [record(1, "", 0.9, 0.8, 1.0)])) is None


def test_best_of_several_by_scores_counts_ties_too(tmp_path):
    folder = write_run(tmp_path, [of_prompt(1, "x", 0.9, 1.0)])
    scores = {"x": ("Math", [0.5], [0.1, 0.2]), "tied:3": ("Ties", [0.5, 0.6], [0.1]), "ref:3": ("Ties", [0.5], [0.6])}
    lines = []
    for row, (name, (subset, right, wrong)) in enumerate(scores.items(), 1):
        for index, score in enumerate(right + wrong):
            lines.append(
                {
                    "id": f"{name}:{index}",
                    "prompt": [turn("user", "q")],
                    "response": [turn("assistant", "a")],
                    "score": score,
                    "principles": [],
                    "critic": "x",
                    "row": row,
                    "index": index,
                    "gold": [{"id": "overall", "score": float(index < len(right))}],
                    "subset": subset,
                    "num_correct": len(right),
                    "num_incorrect": len(wrong),
                }
            )
    (folder / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = {line.name: line.score.value for line in best_of(folder)}
    assert list(found) == ["Math", "Ties", "all"]
    assert found["Math"] == 1.0 and found["Ties"] == pytest.approx(0.3 + 0.2 + 0.01 * math.tanh(-0.1 / 0.1 - 1))
