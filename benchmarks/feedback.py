"""Ways of asking the critic, by their agreement with gold on the lab: writes benchmarks/feedback.md.

    python -m benchmarks.feedback [--folder runs/benchmark-feedback]

Rows are the grammar's replies to held-out prompts. Answers stay in the folder's verdict store: a second call asks nothing.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from scipy.stats import kendalltau

from benchmarks.feedback_page import change, changes_table, principles_table, right, sentences, ways_table
from benchmarks.feedback_ways import CHANGES, WAYS, ask, build
from benchmarks.lab_grid import CONSTITUTION, WEIGHTS, table, total
from benchmarks.lab_labels import write_records
from rlaif.constitution.load import load_constitution
from rlaif.constitution.write import write_weights
from rlaif.critic.pairs import ADAPTIVE, next_pairs, pairs
from rlaif.critic.strengths import least_squares
from rlaif.data.records import PreferenceRecord, read_records
from rlaif.data.write import atomic_write
from rlaif.evaluate.table import interval
from rlaif.evaluate.weights import fit_run
from rlaif.lab.world import rows
from rlaif.label.config import LabelConfig
from rlaif.label.run import run_label
from rlaif.settings import configure

COMMAND = "python -m benchmarks.feedback"
RANKED, RESPONSES, RANKED_SEED = 40, 8, 31
FITTED, FITTED_SEED = 600, 32
PAIRS, PAIRS_SEED = 400, 33
Results = Mapping[tuple[int, int], float]
"""By pair, the probability that its first is better."""


def made(folder: Path, name: str, n: int, responses: int, seed: int) -> Path:
    """A file of ``n`` rows, whose gold total is by the constitution's weights."""
    source = folder / f"{name}.jsonl"
    found = list(rows(n, seed, "heldout", responses))
    for row in found:
        for response in row["responses"]:
            response["gold"]["overall"] = total(response["gold"])
    write_records(source, found)
    return source


def judged(folder: Path, source: Path) -> Path:
    """The folder of a label run over all pairs of ``source`` by the good critic."""
    out = folder / source.stem
    given = {"source": str(source), "constitution": CONSTITUTION, "critic": "lab", "store": folder / "verdicts.sqlite"}
    run_label(configure(LabelConfig, **given, out=out, overwrite=True))
    return out


def by_prompt(run: Path) -> list[Results]:
    found: dict[int, dict[tuple[int, int], float]] = {}
    for record in read_records(run / "preferences.jsonl", PreferenceRecord):
        i, j, p = record.chosen_index, record.rejected_index, record.p_chosen
        found.setdefault(record.row, {})[min(i, j), max(i, j)] = p if i < j else 1.0 - p
    return list(found.values())


def asked(schedule: str, every: Results, prompt: int) -> Results:
    """What the schedule would have been told of a prompt's pairs."""
    if schedule not in ADAPTIVE:
        return {pair: every[pair] for pair in pairs(schedule, RESPONSES, 0, str(prompt))}
    results: dict[tuple[int, int], float] = {}
    while chosen := next_pairs(schedule, RESPONSES, results, prompt):
        results |= {pair: every[pair] for pair in chosen}
    return results


def schedules(run: Path) -> Iterator[list[str]]:
    prompts = [results for results in by_prompt(run) if len(results) == RESPONSES * (RESPONSES - 1) // 2]
    for schedule in ("active", "swiss", "14", "adjacent"):
        told = [asked(schedule, every, prompt) for prompt, every in enumerate(prompts)]
        both = (
            (least_squares(part, RESPONSES), least_squares(every, RESPONSES)) for part, every in zip(told, prompts, strict=True)
        )
        taus = [kendalltau(some.values, whole.values).statistic for some, whole in both]
        error = statistics.stdev(taus) / len(taus) ** 0.5
        yield [f"`{schedule}`", str(len(told[0])), f"{statistics.fmean(taus):.3f} ± {error:.3f}"]


def weights(run: Path) -> Iterator[list[str]]:
    constitution = load_constitution(CONSTITUTION)
    principles = tuple(replace(principle, weight=1.0) for principle in constitution.principles)
    equal, own = fit_run(run, replace(constitution, principles=principles)), fit_run(run, constitution)
    yield ["equal", *["1"] * len(WEIGHTS), interval(equal.equal)]
    yield ["the constitution's own", *(f"{weight:g}" for weight in WEIGHTS.values()), interval(own.before)]
    yield ["fitted", *(f"{weight:.2f}" for weight in own.weights), interval(own.after)]


def weigh(folder: Path, name: str, weights: Sequence[float]) -> None:
    """Write ``NAME.yaml``, the constitution with other weights."""
    path = folder / f"{name}.yaml"
    path.write_text(CONSTITUTION.read_text(encoding="utf-8"), encoding="utf-8")
    write_weights(path, dict(zip(WEIGHTS, weights, strict=True)))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    built = build(folder)
    ranked = judged(folder, made(folder, "ranked", RANKED, RESPONSES, RANKED_SEED))
    fitted = judged(folder, made(folder, "fitted", FITTED, 2, FITTED_SEED))
    shown = fit_run(fitted, load_constitution(CONSTITUTION))
    weigh(folder, "equal", [1.0] * len(WEIGHTS))
    weigh(folder, "fitted", shown.weights)
    pairs = made(folder, "pairs", PAIRS, 2, PAIRS_SEED)
    asked = {way.name: ask(way, pairs, folder) for way in WAYS}
    rights = {name: right(found) for name, found in asked.items()}
    changes = [change(name, rights[after], rights[before]) for name, after, before in CHANGES]
    text = f"""# Ways of asking the critic

Written by `{COMMAND}`; held-out prompts. Second critics are trained first, by the recipe of the shipped ones with another seed:
`{"` and `".join(built)}`.

## Agreement with gold

Each line is `rlaif label FOLDER/pairs.jsonl --constitution constitutions/lab.yaml --out OUT` with its flags; FOLDER is
`{folder}`, ORDER stands for `ab` and for `ba`, and figures are over both. {PAIRS} pairs of the grammar's replies, or the
first of them (`--limit`). Agreement ± half a 95% interval (a pair's verdicts taken together): *by principle*, of verdicts with
different gold; *in all*, of preferences with gold's total by the constitution's weights. ECE: calibration error by principle.
With reasons each call comes after one that writes them. The lab's critics were never taught to reason or to rank a list: those
lines say what such options do to a critic that cannot use them.

{ways_table(WAYS, asked)}

By principle:

{principles_table(WAYS, asked)}

## What each option changes

Difference in agreement with gold on the same pairs ± half a 95% interval.

{changes_table(changes)}

By these intervals, on either measure:

{sentences(changes)}

## Schedules of pairs

The good critic, both orders. Kendall τ with the ranking by all {RESPONSES * (RESPONSES - 1) // 2} pairs of {RESPONSES}
responses, mean over {RANKED} prompts ± one standard error. Rankings are by least squares (`rlaif/critic/strengths.py`).
These prompts are other ones than the schedules were designed on.

{table(["`--pairs`", "pairs asked", "τ"], schedules(ranked))}

## Weights

`rlaif constitution fit` on {shown.fitted_on} pairs: agreement with gold's total on {shown.held_out} others, 95% interval.
Gold's total is by the constitution's own weights, so those are the truth here; the critic is blind to
`correct`, and a fit may know better.

{table(["weights", *WEIGHTS, "agreement"], weights(fitted))}
"""
    with atomic_write(Path(__file__).with_suffix(".md")) as file:
        file.write(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-feedback"))
    main(parser.parse_args().folder)
