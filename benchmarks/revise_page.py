"""benchmarks/revise.md from the results of ``benchmarks.revise``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from benchmarks.lab_grid import WEIGHTS, interval, table, total

Results = Mapping[str, Mapping[str, Any]]
Scores = Mapping[str, float]


def page(facts: str, learning: str, results: Results, seeds: Sequence[int], learnt_from: Sequence[tuple[str, int]]) -> str:
    replies = {
        rounds: [reply for seed in seeds for reply in results[f"measure-{rounds}-{seed}"]["replies"]] for rounds in (1, 2)
    }
    return f"""# Critique and revision in the lab

{facts}

## One round, by the drawn principle

{by_principle(replies[1])}

*raised, kept, lowered*: gold for the drawn principle, of the replies that had a fault; *change*: its mean change; *others*:
the mean change of the other principles taken together, by weight; *confirmed* by the critic, of the same replies. *left alone*:
of the replies without a fault.

What a revision for one principle (row) does to gold for each (column), mean over the replies that had a fault:

{matrix(replies[1])}

## What the critic confirms

{confirmation(replies)}

*rises*: how often the gold total rises (precision, where the critic confirmed); *change*: its mean change.

## Training on it

{learning}

{trained(results, seeds, learnt_from)}
"""


def by_principle(replies: Sequence[Mapping[str, Any]]) -> str:
    head = ["principle", "drawn", "with a fault", "raised", "kept", "lowered", "change", "others", "left alone", "confirmed"]
    lines = []
    for name in [*WEIGHTS, "all"]:
        mine = [(reply["rounds"][0], reply["critic"]) for reply in replies if name in ("all", reply["rounds"][0]["principle"])]
        faulty = [(step, critic) for step, critic in mine if step["fault"]]
        changes = [step["after"][step["principle"]] - step["before"][step["principle"]] for step, _ in faulty]
        sound = [not step["changed"] for step, _ in mine if not step["fault"]]
        shares = [share(change > 0 for change in changes), share(change == 0 for change in changes)]
        confirmed = share(critic == "confirmed" for _, critic in faulty)
        lines.append(
            [name, str(len(mine)), share(step["fault"] for step, _ in mine), *shares, share(change < 0 for change in changes)]
            + [signed(changes), signed(others(step) for step, _ in faulty), share(sound), confirmed]
        )
    return table(head, lines)


def matrix(replies: Sequence[Mapping[str, Any]]) -> str:
    steps = [reply["rounds"][0] for reply in replies if reply["rounds"][0]["fault"]]
    lines = []
    for drawn in WEIGHTS:
        mine = [step for step in steps if step["principle"] == drawn]
        lines.append([drawn, *(signed(step["after"][name] - step["before"][name] for step in mine) for name in WEIGHTS)])
    return table(["drawn", *WEIGHTS], lines)


def confirmation(replies: Mapping[int, Sequence[Mapping[str, Any]]]) -> str:
    head = ["rounds", "replies", "gold before", "gold after", "changed", "confirmed, of changed"]
    head += ["confirmed: rises", "change", "rejected: rises", "change"]
    lines = []
    for rounds, found in replies.items():
        ends = [(total(one["rounds"][0]["before"]), total(one["rounds"][-1]["after"]), one["critic"]) for one in found]
        judged = [critic for _, _, critic in ends if critic != "unchanged"]
        line = [str(rounds), str(len(ends)), f"{fmean(a for a, _, _ in ends):.3f}", f"{fmean(b for _, b, _ in ends):.3f}"]
        line += [share(critic != "unchanged" for _, _, critic in ends), share(critic == "confirmed" for critic in judged)]
        for word in ("confirmed", "rejected"):
            changes = [after - before for before, after, critic in ends if critic == word]
            line += [share(change > 1e-9 for change in changes), signed(changes)]
        lines.append(line)
    return table(head, lines)


def trained(results: Results, seeds: Sequence[int], learnt_from: Sequence[tuple[str, int]]) -> str:
    base = [results[f"base-{seed}"]["gold"] for seed in seeds]
    lines = [["the policy before", "", spread(scores["total"] for scores in base), "", *means(base)]]
    for kept, rounds in learnt_from:
        runs = [results[f"sft-{kept}-{rounds}-{seed}"] for seed in seeds]
        after = [run["gold"] for run in runs]
        gains = [one["total"] - before["total"] for one, before in zip(after, base, strict=True)]
        name = f"SFT on what is {kept}, {rounds} round{'s' * (rounds > 1)}"
        examples = f"{fmean(run['examples'] for run in runs):.0f}"
        lines.append([name, examples, spread(scores["total"] for scores in after), spread(gains, "+"), *means(after)])
    return table(["", "examples", "gold total", "gain", *WEIGHTS], lines)


def others(step: Mapping[str, Any]) -> float:
    """Mean change of gold for the principles that were not drawn, by weight."""
    rest = {name: weight for name, weight in WEIGHTS.items() if name != step["principle"]}
    total: float = sum(weight * (step["after"][name] - step["before"][name]) for name, weight in rest.items())
    return total / sum(rest.values())


def means(runs: Sequence[Scores]) -> list[str]:
    return [f"{fmean(scores[name] for scores in runs):.2f}" for name in WEIGHTS]


def spread(values: Iterable[float], sign: str = "") -> str:
    mean, half = interval(list(values))
    return f"{mean:{sign}.3f} ± {half:.3f}"


def share(flags: Iterable[bool]) -> str:
    found = list(flags)
    return f"{fmean(found):.2f}" if found else "–"


def signed(values: Iterable[float]) -> str:
    found = list(values)
    return f"{fmean(found) + 0.0:+.2f}" if found else "–"
