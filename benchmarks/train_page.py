"""What ``benchmarks/train.py`` measured, as a page: tables, and the sentences that follow from them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.lab_grid import WEIGHTS, interval, table

ALLOWED = 0.05
"""How far a principle may fall below base before it is marked."""
TITLES = {
    "sft": "SFT on the best of 4",
    "best-of-n": "best-of-16 (SFT on the best of 16)",
    "select": "best of 16 selected, not trained",
    **{name: name.upper() for name in ("dpo", "ipo", "kto", "orpo", "cpo")},
    "simpo": "SimPO",
}
WHY = """`correct` is the critic's blind spot: nothing in its labels holds it. ORPO and SimPO average over a response's tokens,
and their replies become the shortest (`words`); a citation is a sentence more, so `evidence` pays for `concise`. With gold's
labels DPO (hard), IPO, KTO and SimPO give up `helpful` as they come close to 1 on `harmless`, which weighs twice as
much: over-refusal, it seems, though refusals were not counted here."""
"""Of the falls that were seen when this was written; look at the tables again after a change."""
Row = tuple[str, str]
"""(row of the table, source of its labels)."""


class Results(NamedTuple):
    """The grid's results by name, and its seeds."""

    found: Mapping[str, Mapping[str, Any]]
    seeds: Sequence[int]

    def gold(self, row: Row) -> list[dict[str, float]]:
        """Mean gold of a row, one per seed."""
        if row[0] == "select":
            return [self.found[f"select-{seed}"][row[1]] for seed in self.seeds]
        name = "-".join(filter(None, row))
        return [self.found[f"{name}-{seed}"]["gold"] for seed in self.seeds]

    def totals(self, row: Row) -> list[float]:
        return [scores["total"] for scores in self.gold(row)]

    def mean(self, row: Row) -> dict[str, float]:
        scores = self.gold(row)
        return {name: statistics.fmean(one[name] for one in scores) for name in scores[0]}

    def contrast(self, rows: Sequence[Row], others: Sequence[Row]) -> tuple[float, float]:
        """Mean difference in the total between rows and others, pair by pair, and half its interval over seeds."""
        pairs = zip(rows, others, strict=True)
        apart = [[a - b for a, b in zip(self.totals(x), self.totals(y), strict=True)] for x, y in pairs]
        return interval([statistics.fmean(values) for values in zip(*apart, strict=True)])


BASE: Row = ("base", "")


def page(results: Results, labels: Mapping[str, Mapping[str, float]], recipes: Mapping[str, Any], facts: str) -> str:
    """The Markdown. recipes: by row of the table. facts: sizes and command, a paragraph."""
    rows = list(recipes)
    return f"""# Training the lab's policy from feedback

{facts}

{_labels(labels)}

## Total

{_totals(results, rows)}

## By principle

Mean gold of the replies; bold: more than {ALLOWED} below base. `words`: mean length of a reply.

{_principles(results, rows)}

## What the figures say

{_findings(results, rows)}

{WHY}

## Cost

{_cost(results, rows)}

## Settings

{_settings(recipes)}
"""


def title(row: str) -> str:
    method, _, labels = row.partition("-") if row != "best-of-n" else (row, "", "")
    return f"{TITLES[method]}, {labels}" if labels else TITLES[method]


def _labels(labels: Mapping[str, Mapping[str, float]]) -> str:
    mean = {name: statistics.fmean(one[name] for one in labels.values()) for name in next(iter(labels.values()))}
    return f"""- **RLAIF**: labels of `rlaif label` with the lab's critic, both orders, `constitutions/lab.yaml`. On pairs whose
  gold total differs, {mean["critic agreement"]:.1%} of its labels are on gold's side; its mean |p − ½| is
  {mean["critic confidence"]:.3f}.
- **RLHF-like**: no humans, but the same pairs labelled by a noisy reader of the gold total. It perceives each response's total
  plus T times Gumbel noise, which makes its choices Bradley–Terry with temperature T; T = {mean["T"]:.3f} is fitted so that it
  agrees with gold as often as the critic does ({mean["gold agreement"]:.1%}). Its soft label is σ of the perceived difference
  over S = {mean["S"]:.2f}, fitted to the critic's mean |p − ½| ({mean["gold confidence"]:.3f}). Its noise falls on all
  principles alike; the critic's mostly on the one that it cannot see.
- **soft**: the probability p; **hard**: p rounded to 0 or 1."""


def _totals(results: Results, rows: Sequence[str]) -> str:
    def cells(row: Row) -> list[str]:
        return [_shown(interval(results.totals(row))), _signed(results.contrast([row], [BASE]))]

    lines = [["base", cells(BASE)[0], "", cells(BASE)[0], "", ""]]
    for row in rows:
        ai, human = (row, "critic"), (row, "gold")
        lines.append([title(row), *cells(ai), *cells(human), _signed(results.contrast([ai], [human]))])
    chosen = [_shown(interval(results.totals(("select", source)))) for source in ("critic", "gold", "oracle")]
    lines.append([TITLES["select"], chosen[0], "", chosen[1], "", ""])
    head = ["", "RLAIF", "− base", "RLHF-like", "− base", "RLAIF − RLHF-like"]
    return f"{table(head, lines)}\n\nThe best of 16 by gold itself: {chosen[2]}."


def _principles(results: Results, rows: Sequence[str]) -> str:
    def line(name: str, row: Row) -> list[str]:
        mean = results.mean(row)
        marks = {key: "**" if mean[key] < start[key] - ALLOWED else "" for key in WEIGHTS}
        return [name, *(f"{mark}{mean[key]:.2f}{mark}" for key, mark in marks.items()), f"{mean['words']:.1f}"]

    start, tables = results.mean(BASE), []
    for source, name in (("critic", "RLAIF"), ("gold", "RLHF-like")):
        lines = [line("base", BASE), *(line(title(row), (row, source)) for row in rows)]
        tables.append(table([name, *WEIGHTS, "words"], [*lines, line(TITLES["select"], ("select", source))]))
    return "\n\n".join(tables)


def _findings(results: Results, rows: Sequence[str]) -> str:
    start, found = results.mean(BASE), []
    for source, name in (("critic", "RLAIF"), ("gold", "RLHF-like")):
        gains = {row: results.contrast([(row, source)], [BASE]) for row in rows}
        above = [row for row, (mean, half) in gains.items() if mean > half]
        rest = [f"{title(row)} ({_signed(gains[row])})" for row in rows if row not in above]
        falls = [
            f"{title(row)} {key} ({mean[key] - start[key]:+.2f})"
            for row in rows
            for mean in [results.mean((row, source))]
            for key in WEIGHTS
            if mean[key] < start[key] - ALLOWED
        ]
        found.append(
            f"{name}: {len(above)} of {len(rows)} rows are above base on the total, by more than the paired difference's "
            f"interval{'; not so: ' + ', '.join(rest) if rest else ''}. "
            f"More than {ALLOWED} below base on a principle: {', '.join(falls) or 'none'}."
        )
        soft = [row for row in rows if row.endswith("-soft")]
        hard = [row.replace("-soft", "-hard") for row in soft]
        apart = results.contrast([(row, source) for row in soft], [(row, source) for row in hard])
        found.append(f"{name}: soft less hard labels, mean over {len(soft)} methods: {_signed(apart)}.")
    apart = results.contrast([(row, "critic") for row in rows], [(row, "gold") for row in rows])
    found.append(
        f"RLAIF less RLHF-like, mean over {len(rows)} rows: {_signed(apart)}. Both sources agree with gold equally often, but "
        "their noise differs in kind, and the settings were chosen with the critic's labels: it is no verdict on people."
    )
    ai, human = (
        statistics.fmean(results.mean((row, source))["correct"] for row in rows) - start["correct"]
        for source in ("critic", "gold")
    )
    found.append(
        f"`correct`, mean change over the rows: {ai:+.3f} with the critic's labels and {human:+.3f} with gold's. The critic is "
        "near chance on it (benchmarks/lab.md)."
    )
    return "\n".join(f"- {one}" for one in found)


def _cost(results: Results, rows: Sequence[str]) -> str:
    measured = {}
    for row in rows:
        if f"cost-{row}" in results.found:
            runs = [results.found[f"{row}-critic-{seed}"] for seed in results.seeds]
            seconds = statistics.fmean(run["cpu_seconds"] for run in runs)
            peak = results.found[f"cost-{row}"]["peak_bytes"] / 2**20
            measured[row] = runs[0]["examples"], seconds, runs[0]["metrics"]["steps"], peak
    dpo = measured["dpo-soft"]
    lines = [
        [title(row).removesuffix(", soft"), str(many), f"{steps:.0f}"]
        + [f"{seconds:.1f}", f"{seconds / dpo[1]:.2f}", f"{peak:.0f}", f"{peak / dpo[3]:.2f}"]
        for row, (many, seconds, steps, peak) in measured.items()
    ]
    head = ["", "examples", "steps", "CPU s", "of DPO's", "peak MiB", "of DPO's"]
    return f"""One thread of a shared CPU: trust the ratios. CPU seconds of `run_train` (reading, reference log-probabilities,
training, saving), mean over seeds, in one long process; sampling and labelling are not in it. Peak: resident memory of a
fresh process that does one such run, Python and libraries included.

{table(head, lines)}"""


def _settings(recipes: Mapping[str, Any]) -> str:
    def given(settings: Mapping[str, Any]) -> str:
        return ", ".join(f"{name} {value}" for name, value in settings.items())

    lines = [[title(row), f"{one.learning_rate:g}", f"{one.epochs:g}", given(one.settings)] for row, one in recipes.items()]
    return table(["", "learning rate", "epochs", "settings"], lines)


def _shown(found: tuple[float, float]) -> str:
    return f"{found[0]:.3f} ± {found[1]:.3f}"


def _signed(found: tuple[float, float]) -> str:
    return f"{found[0]:+.3f} ± {found[1]:.3f}"
