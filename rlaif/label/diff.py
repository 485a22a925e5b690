"""The effect of an edited constitution on a label run: what is asked again, and which preferences change sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rlaif.constitution import Constitution
from rlaif.critic.judge import Judge
from rlaif.critic.modes import MODES
from rlaif.critic.pairs import ADAPTIVE, pairs
from rlaif.critic.templates import load_template
from rlaif.data.read import named_columns, read_rows
from rlaif.data.records import PreferenceRecord, ScoreRecord, read_records
from rlaif.data.rows import BadRow, Response, Row, Turn
from rlaif.data.run_folder import read_run
from rlaif.errors import UsageError
from rlaif.label.config import LabelConfig
from rlaif.settings import configure, settings_of


class Cost(NamedTuple):
    """verdicts: wanted by the new constitution. again: by principle id, those that the critic must be asked about because
    the run did not ask the same. calls: how many calls that takes, of all critics together."""

    verdicts: int
    again: Mapping[str, int]
    calls: int


class Flip(NamedTuple):
    """A pair whose winner changed. before, after: probability that the winner before is the better."""

    id: str
    before: float
    after: float
    record: PreferenceRecord


def cost(run_folder: Path, before: Constitution, after: Constitution) -> Cost:
    """What labelling a run's source again, by ``after`` instead of ``before``, would ask its critics.

    Counted over the pairs that the run judged. Raises UsageError where the folder holds no finished label run by ``before``.
    """
    run = read_run(run_folder)
    config = run_config(run_folder, run)
    if run["constitution"]["digest"] != before.digest:
        raise UsageError(f"{run_folder}: labelled by another version of {before.name}; give the one that it was labelled by")
    judges = [_judge(run, config, constitution) for constitution in (before, after)]
    again: Counter[str] = Counter()
    verdicts = calls = 0
    known: set[bytes] = set()
    for row, subjects in _judged(run_folder, config):
        for subject in subjects:
            known |= {question.key for asked in judges[0].ask(row, subject) for question in asked.questions}
            for asked in judges[1].ask(row, subject):
                verdicts += 1
                missing = sum(question.key not in known for question in asked.questions)
                calls += missing
                again[asked.principle.id] += missing > 0
    critics = len(set(config.critic.models))
    return Cost(verdicts, {name: number for name, number in again.items() if number}, calls * critics)


def flips(before: Path, after: Path) -> tuple[int, list[Flip], Mapping[str, int]]:
    """How many pairs both runs judged, those whose preference changed sides, and by principle how many verdicts did.

    Pairs are matched by their id. An undecided one (p exactly ½) has not changed sides. Raises UsageError where the folders
    hold no two finished runs over the same source in the same mode, or nothing that both judged.
    """
    runs = [read_run(folder) for folder in (before, after)]
    for what in ("source", "mode"):
        values = [run.get(what) for run in runs]
        if values[0] != values[1]:
            raise UsageError(f"{before} and {after} differ in {what} ({values[0]}, {values[1]}): their pairs are not the same")
    old = {record.id: record for record in read_records(before / "preferences.jsonl", PreferenceRecord)}
    shared, flipped = 0, []
    by_principle: Counter[str] = Counter()
    for record in read_records(after / "preferences.jsonl", PreferenceRecord):
        earlier = old.get(record.id)
        if earlier is None:
            continue
        shared += 1
        same = record.chosen_index == earlier.chosen_index
        p = record.p_chosen if same else 1.0 - record.p_chosen
        if (earlier.p_chosen - 0.5) * (p - 0.5) < 0:
            flipped.append(Flip(record.id, earlier.p_chosen, p, earlier))
        later = {verdict.id: verdict.p for verdict in record.principles}
        for verdict in earlier.principles:
            p_now = later.get(verdict.id)
            if verdict.p is not None and p_now is not None:
                by_principle[verdict.id] += (verdict.p - 0.5) * ((p_now if same else 1.0 - p_now) - 0.5) < 0
    if not shared:
        raise UsageError(f"{before} and {after} have judged no pair in common")
    return shared, flipped, {name: number for name, number in by_principle.items() if number}


def run_config(folder: Path, run: Mapping[str, Any]) -> LabelConfig:
    """The settings that a label run was made with. run: its ``run.json``."""
    given = run.get("config")
    if run.get("kind") != "label" or not isinstance(given, dict):
        raise UsageError(f"{folder}: not a run of rlaif label, or its run.json has no configuration")
    return configure(LabelConfig, **{name: value for name, value in given.items() if name in settings_of(LabelConfig)})


def _judge(run: Mapping[str, Any], config: LabelConfig, constitution: Constitution) -> Judge:
    """The critic's name does not matter: only which questions differ is counted. The scale is the run's, where there still is
    such a scale."""
    template = load_template(config.critic.form, config.critic.prompts)
    scale = next((variant for variant in template.variants if variant.digest == run["template"]["digest"]), template)
    return config.critic.judge(constitution, scale, str(run["critic"]))


def _judged(folder: Path, config: LabelConfig) -> Iterator[tuple[Row, list[tuple[int, ...]]]]:
    """The source's rows, and what of each was asked about; rows whose responses a policy wrote get them from the run."""
    written: dict[int, dict[int, tuple[Turn, ...]]] = {}
    compared: dict[int, list[tuple[int, int]]] = {}
    for record in read_records(folder / "preferences.jsonl", PreferenceRecord):
        chosen, rejected = record.chosen_index, record.rejected_index
        written.setdefault(record.row, {}).update({chosen: record.chosen, rejected: record.rejected})
        compared.setdefault(record.row, []).append((min(chosen, rejected), max(chosen, rejected)))
    for scored in read_records(folder / "scores.jsonl", ScoreRecord):
        written.setdefault(scored.row, {})[scored.index] = scored.response
    for row in read_rows(config.source, config.limit, named_columns(config.columns)):
        sampled = isinstance(row, Row) and (not row.responses or (bool(config.policy) and len(row.responses) < 2))
        if isinstance(row, BadRow) or (sampled and row.number not in written):
            continue
        if sampled:
            drawn = written[row.number]
            row = replace(row, responses=tuple(Response(drawn.get(index, ())) for index in range(max(drawn) + 1)))
        n, mode = len(row.responses), MODES[config.critic.mode]
        in_rounds = config.pairs in ADAPTIVE and "rounds" in mode.settings
        labelled = compared.get(row.number, []) if in_rounds else pairs(config.pairs, n, config.critic.seed, row.id)
        yield row, [] if mode.unfit(n) else [*mode.subjects(n, labelled)]
