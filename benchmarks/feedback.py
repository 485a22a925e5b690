"""What ways of asking the lab's critic give and cost: schedules of pairs, and fitted weights. Writes benchmarks/feedback.md.

    python -m benchmarks.feedback [--folder runs/benchmark-feedback]

Rows are the grammar's replies to held-out prompts. Answers stay in the folder's verdict store: a second call asks nothing.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from scipy.stats import kendalltau

from benchmarks.lab_grid import CONSTITUTION, WEIGHTS, table, total
from benchmarks.lab_labels import write_records
from rlaif.constitution.load import load_constitution
from rlaif.critic.pairs import ADAPTIVE, next_pairs, pairs
from rlaif.critic.strengths import least_squares
from rlaif.data.exports import read_records
from rlaif.data.write import atomic_write
from rlaif.evaluate.table import interval
from rlaif.evaluate.weights import fit_run
from rlaif.lab.world import rows
from rlaif.label_run import LabelConfig, run_label

COMMAND = "python -m benchmarks.feedback"
RANKED, RESPONSES, RANKED_SEED = 40, 8, 31
FITTED, FITTED_SEED = 600, 32
Results = Mapping[tuple[int, int], float]
"""By pair, the probability that its first is better."""


def judged(folder: Path, name: str, n: int, responses: int, seed: int) -> Path:
    """A label run over all pairs of ``n`` rows, whose gold total is by the constitution's weights; its folder."""
    source = folder / f"{name}.jsonl"
    found = list(rows(n, seed, "heldout", responses))
    for row in found:
        for response in row["responses"]:
            response["gold"]["overall"] = total(response["gold"])
    write_records(source, found)
    store = folder / "verdicts.sqlite"
    run_label(LabelConfig(str(source), CONSTITUTION, "lab", folder / name, store=store, overwrite=True))
    return folder / name


def by_prompt(run: Path) -> list[Results]:
    found: dict[int, dict[tuple[int, int], float]] = {}
    for record in read_records(run / "preferences.jsonl"):
        i, j, p = record["chosen_index"], record["rejected_index"], record["p_chosen"]
        found.setdefault(record["row"], {})[min(i, j), max(i, j)] = p if i < j else 1.0 - p
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


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ranked = judged(folder, "ranked", RANKED, RESPONSES, RANKED_SEED)
    fitted = judged(folder, "fitted", FITTED, 2, FITTED_SEED)
    shown = fit_run(fitted, load_constitution(CONSTITUTION))
    text = f"""# Ways of asking the critic

Written by `{COMMAND}`; the lab's good critic, both orders, held-out prompts.

## Schedules of pairs

Kendall τ with the ranking by all {RESPONSES * (RESPONSES - 1) // 2} pairs of {RESPONSES} responses,
mean over {RANKED} prompts ± one standard error. Rankings are by least squares (`rlaif/critic/strengths.py`).
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
