"""The figures of benchmarks/real.md are what they say, on pairs, verdicts and runs that are made up."""

from __future__ import annotations

import gzip
import json

import pytest

from benchmarks.real import conversation, split_pairs
from benchmarks.real_alpaca import NEAR, critic_scores, disjoint, right
from benchmarks.real_grpo import report
from benchmarks.real_parts import TEMPLATES, constitution, lead, points, templates, verdicts
from benchmarks.reward_text import Answer, Pair
from rlaif.constitution.load import load_constitution
from rlaif.critic.templates import load_template
from rlaif.evaluate.agreement import Interval

BETTER, WORSE = Answer("q", "yes" * 10, "a", 0.9), Answer("q", "no." * 9, "b", 0.2)


def turn(text):
    return [{"role": "assistant", "content": text}]


def test_no_conversation_is_on_both_sides(tmp_path):
    turns = [f"\n\nHuman: q{number % 700}\n\nAssistant:" for number in range(1400)]
    rows = [{"chosen": f"{said} yes {number}", "rejected": f"{said} no {number}"} for number, said in enumerate(turns)]
    with gzip.open(tmp_path / "rows.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    train, held = split_pairs(tmp_path / "rows.gz", 0)
    assert len(held) == 500 and len({conversation(row) for row in held}) == 500
    assert len(train) == 400 and {conversation(row) for row in train}.isdisjoint(conversation(row) for row in held)


def test_training_pairs_are_of_like_length_and_share_no_answer():
    answers = [Answer("q", "x" * (50 + 10 * number), "a", number / 20) for number in range(12)]
    found = disjoint(Pair(one, other) for one in answers for other in answers if one.p > other.p)
    used = [answer for pair in found for answer in pair]
    assert found and len(set(used)) == len(used)
    assert all(NEAR[0] <= pair.ratio <= NEAR[1] for pair in found)


def test_a_tie_is_half_right():
    judged = [Pair(BETTER, WORSE)]
    assert [right({BETTER: better, WORSE: 0.0}, judged) for better in (1.0, 0.0, -1.0)] == [[1.0], [0.5], [0.0]]


def test_a_lead_is_paired():
    """One judge is right wherever the other is, and in a tenth of the pairs besides: that is sure, though the rest is noise."""
    second = [float(number % 3 == 0) for number in range(300)]
    first = [max(was, float(number % 10 == 1)) for number, was in enumerate(second)]
    found = lead(first, second, [str(number) for number in range(300)])
    assert found.value == pytest.approx((sum(first) - sum(second)) / 300)
    assert 0 < found.low < found.value < found.high < 0.12
    assert lead(first, first, ["one prompt"] * 300) == (0, 0, 0)


def test_pairs_of_one_prompt_are_not_independent():
    first, second = [1.0, 0.0] * 100, [0.5] * 200
    alone, together = ([str(number // size) for number in range(200)] for size in (1, 2))
    assert lead(first, second, alone).high > 0.05
    assert lead(first, second, together) == (0, 0, 0)


def test_points_are_signed():
    assert points(Interval(0.032, -0.005, 0.069)) == "+3.2 [−0.5, +6.9]"


def test_verdicts_are_by_row_and_a_missing_one_is_half_right(tmp_path):
    def record(row, chosen, p):
        gold = [{"id": "overall", "margin": 1.0 if chosen == 0 else -1.0}]
        sides = {"chosen": turn("c"), "rejected": turn("r"), "chosen_index": chosen, "rejected_index": 1 - chosen}
        found = {"id": f"{row}:0-1", "row": row, "prompt": [{"role": "user", "content": "q"}], "p_chosen": p, "gold": gold}
        return {**found, **sides, "principles": []}

    lines = [record(1, 0, 0.9), record(2, 1, 0.8), record(4, 0, 0.5)]
    (tmp_path / "preferences.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert verdicts(tmp_path, 4) == [1.0, 0.0, 0.5, 0.5]


def test_an_answer_without_a_score_is_an_error(tmp_path):
    asked = {"prompt": [{"role": "user", "content": "q"}], "response": turn(BETTER.text)}
    line = {"id": "1:0", "score": 0.25, "row": 1, "index": 0, "critic": "c", "principles": [], **asked}
    (tmp_path / "scores.jsonl").write_text(json.dumps(line) + "\n")
    assert critic_scores(tmp_path, [BETTER]) == {BETTER: 0.25}
    with pytest.raises(KeyError):
        critic_scores(tmp_path, [BETTER, WORSE])


def test_questions_and_principles_are_read_as_they_are_written(tmp_path):
    (principle,) = load_constitution(constitution(tmp_path / "kind.yaml", "The response is kind.")).principles
    assert (principle.id, principle.text) == ("kind", "The response is kind.")
    folder = templates(tmp_path / "prompts", "Score=")
    assert load_template("score", folder).answer == "Score="
    assert load_template("compare", folder).answer == "Answer:" and "Score:" in TEMPLATES["score"]


def test_the_report_shows_every_look_and_the_same_prompts_before_and_after(tmp_path, capsys):
    looked = {"heldout_kl": 0.5, "heldout_length": 30.0, "heldout_ended": 0.75, "heldout_reward": 0.25}
    looked |= {"heldout_second_reward": -0.5, "heldout_reward_std": 0.4, "heldout_second_reward_std": 0.8}
    timed = {"seconds": 10.0, "seconds_sampling": 2.0, "seconds_waiting": 3.0, "seconds_learning": 5.0}
    steps = [{"step": 0, **looked}, {"step": 1, **timed}, {"step": 2, **timed, **looked}]
    asked = [{"prompt": [{"role": "user", "content": f"why {number}?"}], "second": {"reward": 0.2}} for number in range(4)]
    samples = [{"step": 0, "response": "before", "reward": number / 10, **one} for number, one in enumerate(asked)]
    samples += [{"step": 2, "response": "after", "reward": number / 10 + 0.3, **one} for number, one in enumerate(asked)]
    warnings = [{"step": 2, "warning": "second-collapse is 0.3"}]
    for name, entries in (("metrics", steps), ("samples", samples), ("warnings", warnings)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    report(tmp_path)
    out = capsys.readouterr().out
    assert "| 0 | +0.250 ± 0.139 | -0.500 ± 0.277 | 0.50 | 30.0 | 0.75 |" in out and "| 2 | +0.250" in out
    assert "seconds_learning: 5.0" in out and "step 2: second-collapse is 0.3" in out
    assert "held-out reward: +0.300 [+0.300, +0.300]" in out and "second judge: +0.000" in out
    assert out.index("'before'") < out.index("'after'")
