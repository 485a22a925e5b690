"""A comparison: every method with every seed, each step once, and a table that grows as they come in."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rlaif.compare.config import CompareConfig
from rlaif.compare.costs import evaluation_cost, step_cost
from rlaif.compare.files import WRITERS, is_paired, principles_of, read_source, write_rows
from rlaif.compare.given import read_given
from rlaif.compare.measure import Figure, measure
from rlaif.compare.page import page
from rlaif.compare.recipes import KNOWN, METHODS, chain, plan, steps
from rlaif.compare.steps import Place, configured, run_step
from rlaif.compare.table import Result, Results, took
from rlaif.config_file import shown, write_config
from rlaif.cost import Cost
from rlaif.data.inputs import stamp
from rlaif.data.rows import Row
from rlaif.data.run_folder import RunFolder
from rlaif.data.write import JsonlWriter, atomic_write
from rlaif.engines.identity import resolve
from rlaif.engines.open import model_path
from rlaif.errors import RunFailed, UsageError, without_secrets
from rlaif.progress import Progress
from rlaif.settings import resumable

Show = Callable[[Results], None]


class Opened(NamedTuple):
    """What a comparison is made of. rows: of the source; none in the lab."""

    config: CompareConfig
    rows: list[Row]
    methods: tuple[str, ...]
    given: Any

    def place(self, folder: Path, seed: int) -> Place:
        found = Place(self.config, folder / f"seed-{seed}", seed, steps(is_paired(self.rows)), self.given)
        if not found.out("rows").is_file():
            write_rows(self.config, self.rows, found.folder, seed)
        return found

    @property
    def seeds(self) -> range:
        first = self.config.critic.seed
        return range(first, first + self.config.seeds)


def open_comparison(config: CompareConfig) -> Opened:
    """Read what the comparison is made of, and check that every step of it can be configured.

    Raises UsageError for settings and methods that do not go with each other or with the rows.
    """
    rows, given = read_source(config), read_given(config.settings_file)
    known = config.in_lab or is_paired(rows)
    both = {each.id in config.safety for each in principles_of(config)} == {True, False}
    missing = {
        **({} if known else dict.fromkeys(KNOWN, f"{config.source} has no pairs with known preferences")),
        **({} if both else {"two-model": "--safety must name some of the constitution's principles, and not all"}),
        **({} if config.verifier else {"reft": "its reward is a verifier: give --verifier"}),
    }
    for name in config.methods:
        if name in missing:
            raise UsageError(f"--methods {name}: {missing[name]}")
    chosen = [name for name in METHODS if name not in missing and (name in config.methods or not config.methods)]
    opened = Opened(config, rows, ("base", *(name for name in chosen if name != "base")), given)
    with tempfile.TemporaryDirectory() as folder:
        place = opened.place(Path(folder), config.critic.seed)
        for name in _commands(place, opened.methods):
            configured(place, name)
    return opened


def _commands(place: Place, methods: Sequence[str]) -> list[str]:
    return [name for name in plan(methods, place.steps) if place.steps[name].command not in WRITERS]


def comparison_cost(config: CompareConfig) -> dict[str, Cost]:
    """What each step, and then the evaluation, would draw and ask at most with one seed: the figures of ``--dry-run``.

    Raises UsageError as ``open_comparison``.
    """
    opened = open_comparison(config)
    with tempfile.TemporaryDirectory() as folder:
        place = opened.place(Path(folder), config.critic.seed)
        costs = {name: step_cost(place, name) for name in _commands(place, opened.methods)}
        return {**costs, "evaluation": evaluation_cost(place, len(opened.methods))}


def run_compare(config: CompareConfig, progress: Progress | None = None, show: Show = lambda results: None) -> Results:
    """Train and measure every method with every seed into ``config.out``; returns the results.

    The same call continues a comparison that was stopped: what is done is not done again, and a step goes on from where it was.
    More methods and more seeds can be added to one that is finished. show: called whenever there is a new result.

    Raises UsageError before anything is run when the input cannot be used; RunFailed at the end, when all others are done, for
    methods that could not be finished.
    """
    progress, opened = progress or Progress(), open_comparison(config)
    _check_models(config)
    what = {"kind": "compare", "source": config.source, "model": config.model}
    facts: dict[str, Any] = {"config": shown(config), "methods": list(opened.methods), "seeds": list(opened.seeds)}
    facts["source_digest"] = None if config.in_lab else stamp(config.source)
    with RunFolder(config.out, what, config.overwrite, config) as folder:
        before = folder.read().get("source_digest")
        same = [(f"other rows in {config.source}", before, facts["source_digest"])]
        folder.continued(facts["config"], resumable(type(config)), ("seed-*", "results.jsonl"), same)
        folder.write("running", facts)
        write_config(config, config.out, "lab compare" if config.in_lab else "compare")
        found: list[Result] = []
        for seed in opened.seeds:
            place = opened.place(config.out, seed)
            for number, name in enumerate(opened.methods, 1):
                now = progress.within(f"seed {seed}, {name} ({number}/{len(opened.methods)}):")
                found.append(_result(place, name, now))
                _write_results(config.out, found)
                show(Results(found))
        results = Results(found)
        failed = [f"{each.method} with seed {each.seed}: {each.error}" for each in found if each.error]
        run = folder.write("failed" if failed else "finished", {**facts, **({"error": "; ".join(failed)} if failed else {})})
        with atomic_write(config.out / "README.md") as file:
            file.write(page(results, run, opened.place(config.out, opened.seeds[0])))
    if failed:
        raise RunFailed(f"{len(failed)} of {len(found)} could not be finished: {'; '.join(failed)}")
    return results


def _check_models(config: CompareConfig) -> None:
    """Raises UsageError where a model is not there, which would otherwise be found out after the first steps."""
    for model in (config.model, *config.critic.models, *config.judge):
        if model.startswith("script:"):
            replace(config.critic.engine, model=model).open()
        elif not model.startswith(("http://", "https://")):
            resolve(model_path(model), config.drawing.engine.trust_remote_code)


def _result(place: Place, method: str, progress: Progress) -> Result:
    """The method's result, from its file where it is there, else from its steps."""
    path, spent = place.folder / f"{method}.result.json", []
    for name in chain(METHODS[method].step, place.steps):
        try:
            done, cost = run_step(place, name, progress), step_cost(place, name)
        except RunFailed as error:  # other methods can be finished
            return Result(method, place.seed, error=without_secrets(f"{name}: {error}"))
        if name not in METHODS[method].free:
            spent.append({**done, "texts": cost.texts, "calls": cost.calls})
    together = took(spent)
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Result(method, place.seed, {name: _figure(**each) for name, each in kept.items()}, together)
    step = METHODS[method].step
    model = place.config.model if step is None else str(place.out(step) / "model")
    try:
        figures = measure(place.config, model, method, place.folder, place.seed, progress)
    except RunFailed as error:
        return Result(method, place.seed, took=together, error=without_secrets(str(error)))
    result = Result(method, place.seed, figures, together)
    with atomic_write(path) as file:
        json.dump(result.as_json()["figures"], file, indent=1)
    return result


def _figure(mean: float, error: float | None) -> Figure:
    return Figure(mean, float("nan") if error is None else error)


def _write_results(out: Path, found: Sequence[Result]) -> None:
    with JsonlWriter(out / "results.jsonl") as writer:
        for each in found:
            writer.write(each.as_json())
