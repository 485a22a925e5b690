"""The teacher of the reasons benchmark knows gold, and says when it is confused; its pairs differ by their principle."""

from __future__ import annotations

import asyncio

from benchmarks.reasons import CONFUSED, CONSTITUTION, GAP, Teacher, pairs
from rlaif.constitution.load import load_constitution
from rlaif.critic.judge import Judge
from rlaif.critic.templates import load_template
from rlaif.data.rows import Turn
from rlaif.engines.base import Sampling
from rlaif.engines.config import EngineConfig
from rlaif.lab.gold import gold


def test_pairs_differ_in_gold_by_their_principle_the_better_one_first():
    found = list(pairs(20, 0, "heldout"))
    assert len({row["id"] for row in found}) == 20
    for row in found:
        better, worse = (gold(row["prompt"], row[name])[row["principles"][0]["id"]] for name in ("chosen", "rejected"))
        assert better - worse >= GAP


def test_the_teacher_is_right_in_both_orders_unless_it_is_confused():
    teacher, template = Teacher(EngineConfig()), load_template("reasons")
    judge = Judge(load_constitution(CONSTITUTION), template, "")
    by_id = {principle.id: principle for principle in judge.constitution.principles}
    right = []
    for row in pairs(60, 0, "train"):
        user, *texts = (
            (Turn(role=role, content=row[name]),)
            for role, name in (("user", "prompt"), ("assistant", "chosen"), ("assistant", "rejected"))
        )
        for question, label in zip(
            judge.both_orders(by_id[row["principles"][0]["id"]], user, *texts).questions, "AB", strict=True
        ):
            ((reasons,),) = asyncio.run(teacher.generate([judge.prompt(question)], Sampling()))
            (choice,) = asyncio.run(teacher.choose([judge.prompt(question, reasons.text)], template.choices))
            right.append(choice.raw == label)
    assert abs(sum(right) / len(right) - (1 - CONFUSED)) < 0.12
