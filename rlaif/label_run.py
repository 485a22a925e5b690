"""A labelling run: from what the user asked for to a run folder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rlaif.constitution import Constitution
from rlaif.constitution.load import load_constitution
from rlaif.constitution.types import Aggregate
from rlaif.critic.compare import Orders
from rlaif.critic.judge import Judge, in_cache_order
from rlaif.critic.pairs import check_pairs
from rlaif.critic.store import VerdictStore
from rlaif.critic.templates import Mode, Template, load_template
from rlaif.critic.verdict import MIN_MASS
from rlaif.data.card import card
from rlaif.data.exports import EXPORTS, write_export
from rlaif.data.read import count_rows, read_rows
from rlaif.data.rows import BadRow, Row
from rlaif.data.run_folder import RunFolder
from rlaif.data.write import JsonlWriter, atomic_write, write_parquet
from rlaif.engines import open_engine
from rlaif.engines.base import Engine, Sampling
from rlaif.engines.open import Backend, Dtype
from rlaif.errors import RunFailed, UsageError, without_secrets
from rlaif.evaluate.quality import as_markdown, quality
from rlaif.label import Counts, Labeller, Sink
from rlaif.report.page import write_report
from rlaif.sample import Policy

TOKEN_SAMPLE = 500
"""Prompts that a dry run tokenizes to estimate the whole."""


@dataclass(frozen=True)
class LabelConfig:
    """What the user asked for; the fields are the flags of ``rlaif label``."""

    source: str
    constitution: Path
    critic: str
    out: Path
    mode: Mode = "compare"
    store: Path = Path("runs/verdicts.sqlite")
    prompts: Path | None = None
    pairs: str = "all"
    orders: Orders = "both"
    aggregate: Aggregate | None = None
    limit: int | None = None
    seed: int = 0
    min_mass: float = MIN_MASS
    max_failure_rate: float = 0.2
    export: tuple[str, ...] = ()
    engine: Backend = "auto"
    dtype: Dtype = "auto"
    context: int | None = None
    tokenizer: str | None = None
    trust_remote_code: bool = False
    gpu_memory: float | None = None
    policy: str | None = None
    samples: int = 2
    temperature: float = 1.0
    max_tokens: int = 256
    overwrite: bool = False


@dataclass(frozen=True)
class DryRun:
    """What a run would ask. tokens is an estimate from the first prompts; prompt is the first one, rendered."""

    rows: int
    bad_rows: int
    verdicts: int
    questions: int
    cached: int
    tokens: int
    prompt: str
    unsampled: int = 0


@dataclass
class Progress:
    """What to call as the run goes on. total is None where the number of rows is not known."""

    start: Callable[[int | None], None] = field(default=lambda total: None)
    update: Callable[[Counts], None] = field(default=lambda counts: None)


def run_label(config: LabelConfig, progress: Progress | None = None) -> dict[str, Any]:
    """Label ``config.source`` into ``config.out`` and return the content of ``run.json``.

    Raises UsageError before anything is asked when the input cannot be used, RunFailed when the run cannot be finished;
    then ``failures.jsonl`` and ``run.json`` say how far it came, and the same command continues.
    """
    progress = progress or Progress()
    constitution, template = _read_inputs(config)
    rows = read_rows(config.source, config.limit)
    what = {"kind": "label", "source": config.source, "mode": config.mode}
    with ExitStack() as stack:
        folder = stack.enter_context(RunFolder(config.out, what, config.overwrite))
        engine, policy = _open_engines(config, template)
        store = stack.enter_context(VerdictStore(config.store))
        judge = _judge(config, constitution, template, engine)
        labeller = Labeller(engine, judge, store, config.pairs, policy, config.max_failure_rate)
        facts = _facts(config, constitution, template, engine, policy)
        folder.write("running", facts)
        progress.start(_total(config))
        counts, stopped = Counts(), None
        started = time.monotonic()
        with JsonlWriter(config.out / "failures.jsonl") as failures:
            try:
                _stream(labeller, rows, config.out, failures, counts, progress)
            except RunFailed as error:
                stopped = error
        timings = {"label_seconds": round(time.monotonic() - started, 3)}
        facts |= {"counts": asdict(counts), "failure_rate": round(counts.failure_rate, 6), "timings": timings}
        if stopped:
            folder.write("failed", {**facts, "error": without_secrets(str(stopped))})
            raise stopped
        _derive(config)
        run = folder.write("finished", facts)
        _describe(config.out, run)
        return run


def dry_run(config: LabelConfig) -> DryRun:
    """Plan the run without asking anything of the critic (or the policy: rows without responses are only counted)."""
    constitution, template = _read_inputs(config)
    engine, _ = _open_engines(replace(config, policy=None), template)
    judge = _judge(config, constitution, template, engine)
    totals = dict.fromkeys(("rows", "bad_rows", "verdicts", "questions", "cached", "unsampled"), 0)
    lengths: list[int] = []
    shown = ""
    with VerdictStore(config.store) as store:
        labeller = Labeller(engine, judge, store, config.pairs)
        for row in read_rows(config.source, config.limit):
            totals["rows"] += 1
            if config.policy and isinstance(row, Row) and not row.responses:
                totals["unsampled"] += 1
                continue
            item = labeller.plan(row)
            if isinstance(item, BadRow):
                totals["bad_rows"] += 1
                continue
            for _, asked in item.subjects:
                questions = in_cache_order(asked)
                totals["verdicts"] += len(asked)
                totals["questions"] += len(questions)
                totals["cached"] += len(store.get([question.key for question in questions]))
                for question in questions[: TOKEN_SAMPLE - len(lengths)]:
                    prompt = judge.prompt(question)
                    lengths.append(engine.count_tokens(prompt))
                    shown = shown or "\n\n".join(f"[{message.role}]\n{message.text}" for message in prompt)
    asyncio.run(engine.close())
    mean = sum(lengths) / max(1, len(lengths))
    return DryRun(**totals, tokens=round(mean * (totals["questions"] - totals["cached"])), prompt=shown)


def _read_inputs(config: LabelConfig) -> tuple[Constitution, Template]:
    check_pairs(config.pairs)
    unknown = set(config.export) - set(EXPORTS)
    if unknown:
        raise UsageError(f"--export {unknown.pop()}: expected one of {', '.join(EXPORTS)}")
    return load_constitution(config.constitution), load_template(config.mode, config.prompts)


def _open_engines(config: LabelConfig, template: Template) -> tuple[Engine, Policy | None]:
    two = config.policy is not None and config.policy != config.critic
    options: dict[str, Any] = {
        "gpu_memory": config.gpu_memory or (0.45 if two else 0.9),
        "backend": config.engine,
        "dtype": config.dtype,
        "context": config.context,
        "trust_remote_code": config.trust_remote_code,
    }
    engine = open_engine(config.critic, tokenizer=config.tokenizer, **options)
    engine.check_choices(template.choices)
    if config.policy is None:
        return engine, None
    sampling = Sampling(max_tokens=config.max_tokens, temperature=config.temperature, n=config.samples, seed=config.seed)
    return engine, Policy(open_engine(config.policy, **options) if two else engine, sampling)


def _judge(config: LabelConfig, constitution: Constitution, template: Template, engine: Engine) -> Judge:
    how = config.aggregate or constitution.aggregate
    return Judge(constitution, template, engine.identity, how, config.orders, config.min_mass, config.seed)


def _stream(
    labeller: Labeller,
    rows: Iterator[Row | BadRow],
    out: Path,
    failures: JsonlWriter,
    counts: Counts,
    progress: Progress,
) -> None:
    """Run the labeller with the run folder's files as its sink; ``counts`` keeps what was done, however it ends."""
    started = time.monotonic()
    with ExitStack() as stack:
        preferences = stack.enter_context(JsonlWriter(out / "preferences.jsonl"))
        metrics = stack.enter_context(JsonlWriter(out / "metrics.jsonl"))
        scoring = labeller.judge.template.mode == "score"
        scores = stack.enter_context(JsonlWriter(out / "scores.jsonl")) if scoring else None

        def chunk_done(so_far: Counts) -> None:
            metrics.write({"seconds": round(time.monotonic() - started, 3), **asdict(so_far)})
            progress.update(so_far)

        async def work() -> None:
            try:
                await labeller.run(rows, Sink(preferences, failures, scores, chunk_done), counts)
            finally:
                await labeller.engine.close()
                if labeller.policy:
                    await labeller.policy.engine.close()

        asyncio.run(work())


def _derive(config: LabelConfig) -> None:
    """The same records in other forms."""
    write_parquet(config.out / "preferences.jsonl", config.out / "preferences.parquet")
    if config.mode == "score":
        write_parquet(config.out / "scores.jsonl", config.out / "scores.parquet")
    for name in config.export:
        write_export(name, config.out)


def _describe(folder: Path, run: dict[str, Any]) -> None:
    """The dataset card and the report."""
    with atomic_write(folder / "README.md") as file:
        file.write(card(run, as_markdown(quality(folder))))
    write_report(folder)


def _facts(
    config: LabelConfig, constitution: Constitution, template: Template, engine: Engine, policy: Policy | None
) -> dict[str, Any]:
    shown = {
        name: without_secrets(str(value)) if isinstance(value, str | Path) else value for name, value in asdict(config).items()
    }
    return {
        "config": shown,
        "constitution": {**constitution.resolved(), "digest": constitution.digest},
        "template": {"mode": template.mode, "version": template.version, "digest": template.digest},
        "critic": engine.identity,
        "policy": policy.engine.identity if policy else None,
        "notes": list(engine.notes),
        "seed": config.seed,
    }


def _total(config: LabelConfig) -> int | None:
    total = count_rows(config.source)
    return total if total is None or config.limit is None else min(total, config.limit)
