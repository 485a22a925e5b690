"""A labelling run: from what the user asked for to a run folder."""

from __future__ import annotations

import gc
import itertools
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from rlaif import loops
from rlaif.config_file import shown, write_config
from rlaif.critic.calibrated import read_calibration
from rlaif.critic.judge import Judge
from rlaif.critic.modes import MODES
from rlaif.critic.reasons import Noted
from rlaif.critic.sampled import named
from rlaif.critic.store import VerdictStore
from rlaif.data.hub import origin
from rlaif.data.inputs import stamp, unchanged
from rlaif.data.push import DATASET, check_hub, push
from rlaif.data.read import count_rows, named_columns, read_rows
from rlaif.data.records import PreferenceRecord
from rlaif.data.rows import BadRow, Row
from rlaif.data.run_folder import RunFolder
from rlaif.data.storage import check_target, copy_to
from rlaif.data.write import JsonlWriter
from rlaif.engines.base import Engine
from rlaif.engines.spending import Budget, budget_of
from rlaif.errors import RunFailed
from rlaif.evaluate.findings import MEASURES, figures, findings
from rlaif.evaluate.judgement import Quality
from rlaif.evaluate.requirements import missed
from rlaif.label.batch import answer_in_batches, batched, check_batch
from rlaif.label.conclude import conclude
from rlaif.label.config import LabelConfig, ReviseConfig
from rlaif.label.paid import continue_spending, keep_spending
from rlaif.label.pipeline import Counts, Labeller, Sink
from rlaif.label.setup import draw_canaries, mixed_rows, open_engines, read_inputs
from rlaif.label.watch import Watch, curves
from rlaif.progress import Progress
from rlaif.sample.policy import PolicySampler
from rlaif.settings import resumable
from rlaif.tracking import Tracker, chosen

__all__ = ["LabelConfig", "label", "run_label"]


class Rounds(Protocol):
    """Rows that come in rounds: each is judged before the next is taken, which may go by what was found.

    total: how many rows there are at most. seen: told of each record that is written.
    """

    total: int

    def __iter__(self) -> Iterator[Iterable[Row | BadRow]]: ...

    def seen(self, record: PreferenceRecord) -> None: ...


def run_label(config: LabelConfig, progress: Progress | None = None, rounds: Rounds | None = None) -> dict[str, Any]:
    """``label``, of which the content of ``run.json`` is returned."""
    return dict(label(config, progress, rounds).run)


def label(config: LabelConfig, progress: Progress | None = None, rounds: Rounds | None = None) -> Quality:
    """Label ``config.source`` into ``config.out`` and return the labels' figures, with the content of ``run.json``.

    rounds: the rows in place of the source's own; the source is what they are made from.

    Raises UsageError before anything is asked when the input cannot be used, RunFailed when the run cannot be finished;
    then ``failures.jsonl`` and ``run.json`` say how far it came, and the same command continues. RunFailed, too, when all is
    done and written, and does not meet ``config.require``.
    """
    progress = progress or Progress()
    chosen(config.track)
    calibration = read_calibration(config.calibration) if config.calibration else None
    check_hub(config.push_to_hub)
    check_target(config.copy_to)
    check_batch(config)
    constitution, _ = read_inputs(config)
    rows = read_rows(config.source, config.limit, named_columns(config.columns)) if rounds is None else iter(())
    what = {"kind": "label", "source": config.source, "mode": config.critic.mode}
    with ExitStack() as stack:
        folder = stack.enter_context(RunFolder(config.out, what, config.overwrite, config))
        stack.callback(gc.unfreeze)
        canaries = draw_canaries(config, constitution)
        engines, policy = open_engines(config.critic, config.policy, config.drawing)
        store = stack.enter_context(VerdictStore(config.critic.store))
        provider, stand_in = batched(engines, config.critic) if config.batch else (None, None)
        asked: Sequence[Engine] = [stand_in] if stand_in else engines
        critics = config.critic.critics(asked, store)
        labeller = Labeller(critics, config.pairs, policy, config.critic.max_failure_rate)
        budget = budget_of(engines)
        facts = run_facts(config, critics[0].judge, asked, policy)
        if calibration and config.calibration:
            fitting, left_out = calibration.fitting(config.calibration, critics[0].judge, facts["critic"], facts["config"])
            labeller = replace(labeller, calibration=fitting)
            facts["calibration"] = {"digest": fitting.digest, **fitting.told(), "left_out": left_out}
            facts["notes"] += [f"probabilities are calibrated by {config.calibration}", *(f"not {each}" for each in left_out)]
        begin(folder, config, facts)
        gc.freeze()  # the libraries and the model stay as they are: a million objects that need no looking through
        write_config(config, config.out, "label")
        continue_spending(budget, config.out)
        rows = unchanged(rows, config.source, facts["source_digest"])
        total = _total(config.source, config.limit) if rounds is None else rounds.total
        counts, stopped, watch = Counts(), None, Watch({**what, **facts}, rounds.seen if rounds else None)
        started = time.monotonic()
        with JsonlWriter(config.out / "failures.jsonl") as writer:
            failures = Noted(watch.failures(writer))
            tracker = stack.enter_context(closing(Tracker(config.track, config.out, facts["config"])))
            sources = itertools.chain(rounds or (), [mixed_rows(rows, canaries, total)])
            try:
                mixed = bool(canaries)
                if provider and stand_in:
                    again = read_rows(config.source, config.limit, named_columns(config.columns))
                    every = mixed_rows(again, canaries, total)
                    answer_in_batches(labeller, every, provider, stand_in, config.out, progress)
                progress.stage("label", total, 0)
                _stream(labeller, sources, config.out, failures, counts, progress, watch, tracker, budget, mixed=mixed)
            except RunFailed as error:
                stopped = error
        timings = {"label_seconds": round(time.monotonic() - started, 3)}
        facts |= {"counts": asdict(counts), "failure_rate": round(counts.failure_rate, 6), "timings": timings}
        facts["commonest_failures"] = failures.commonest(counts.rows_in, counts.verdicts + counts.failed)
        facts |= keep_spending(budget, config.out)
        judged = watch.quality(counts)
        facts["findings"] = [finding.sentence for finding in findings(judged)]
        unmet = missed(config.require, MEASURES, figures(judged))
        judged = conclude(folder, config, {**facts, "requirements_missed": unmet}, stopped, judged)
    if unmet:
        raise RunFailed(
            f"the labels are written to {config.out}, and are not what --require asks for: {'; '.join(unmet)}; "
            "report.html shows more"
        )
    push(config.push_to_hub, config.out, "dataset", DATASET)
    copy_to(config.copy_to, config.out)
    return judged


TELLING = 1.0
"""Seconds at least between two sets of figures while a run goes on."""
CONTENT = frozenset(
    ("engine", "dtype", "context", "critic_context", "gpu_memory", "tokenizer", "constitution", "critic", "policy", "reviser")
    + ("prompts", "export")
)
"""Settings that are not compared themselves where a run is continued, but what they name: its digest or identity."""
_COMPARED = {
    "constitution.digest": "another constitution",
    "template.digest": "other prompts",
    "calibration.digest": "another calibration",
    "revise_template.digest": "other prompts of revise",
    "critic": "another critic",
    "policy": "another policy",
    "reviser": "another reviser",
}


def begin(folder: RunFolder, config: LabelConfig | ReviseConfig, facts: dict[str, Any]) -> None:
    """Note the source's content in ``facts``, and that the run is running.

    Raises UsageError where the folder holds a run that something else has shaped.
    """
    facts["source_digest"] = stamp(config.source)
    facts["origin"] = origin(config.source)
    before = folder.read()
    shaped = {**_COMPARED, "source_digest": f"other rows in {config.source}"}
    same = [
        (f"{difference} ({_entry(before, name)}, not {_entry(facts, name)})", _entry(before, name), _entry(facts, name))
        for name, difference in shaped.items()
    ]
    folder.continued(facts["config"], CONTENT | resumable(type(config)), (), same)
    folder.write("running", facts)


def _entry(facts: dict[str, Any], name: str) -> Any:
    """The entry of a dotted name, None where there is none."""
    entry: Any = facts
    for part in name.split("."):
        entry = entry.get(part) if isinstance(entry, dict) else None
    return entry


def _stream(
    labeller: Labeller,
    batches: Iterable[Iterable[Row | BadRow]],
    out: Path,
    failures: Noted,
    counts: Counts,
    progress: Progress,
    watch: Watch,
    tracker: Tracker,
    budget: Budget | None,
    *,
    mixed: bool,
) -> None:
    """Run the labeller with the run folder's files as its sink; ``counts`` keeps what was done, however it ends."""
    started, told = time.monotonic(), (-math.inf, -1)
    with ExitStack() as stack:
        preferences = watch.preferences(stack.enter_context(JsonlWriter(out / "preferences.jsonl")))
        metrics = stack.enter_context(JsonlWriter(out / "metrics.jsonl"))
        scores = None
        if labeller.jury.mode.scores:
            scores = watch.scores(stack.enter_context(JsonlWriter(out / "scores.jsonl")))
        (out / "canaries.jsonl").unlink(missing_ok=True)  # an earlier run of the same source may have had some
        canaries = stack.enter_context(JsonlWriter(out / "canaries.jsonl")) if mixed else None

        def tell(so_far: Counts) -> None:
            nonlocal told
            told = time.monotonic(), so_far.rows_in
            judged = watch.quality(so_far)
            tracker.log(so_far.rows_in, curves(judged))
            progress.warn([finding.about for finding in findings(judged)])

        def chunk_done(so_far: Counts) -> None:
            cost = keep_spending(budget, out)
            metrics.write({"seconds": round(time.monotonic() - started, 3), **asdict(so_far), **cost})
            if time.monotonic() - told[0] >= TELLING:
                tell(so_far)
            counted = {"verdicts": so_far.verdicts, "from the store": so_far.cached, "failed": so_far.failed}
            paid = {"dollars": budget.spent} if budget and budget.spent else {}
            progress.update(so_far.rows_in, {**counted, **paid})

        async def work() -> None:
            try:
                for rows in batches:
                    await labeller.run(rows, Sink(preferences, failures, scores, chunk_done, canaries), counts)
            finally:
                for critic in labeller.critics:
                    await critic.engine.close()
                if labeller.policy:
                    await labeller.policy.engine.close()

        loops.run(work())
        if told[1] < counts.rows_in:
            tell(counts)


def run_facts(
    config: LabelConfig | ReviseConfig, judge: Judge, engines: Sequence[Engine], policy: PolicySampler | None
) -> dict[str, Any]:
    """What ``run.json`` says of how the run was asked."""
    constitution, template = judge.constitution, judge.template
    every = [*engines, policy.engine] if policy else engines
    return {
        "config": shown(config),
        "constitution": {**constitution.resolved(), "digest": constitution.digest},
        "template": {
            "mode": template.mode,
            "action": MODES[template.mode].action,
            "version": template.version,
            "digest": template.digest,
            "choices": list(template.choices),
        },
        "critic": " + ".join(named(engine.identity, judge.sampled) for engine in engines),
        "policy": policy.engine.identity if policy else None,
        "notes": list(dict.fromkeys(note for engine in every for note in engine.notes)),
        "seed": config.critic.seed,
    }


def _total(source: str, limit: int | None) -> int | None:
    total = count_rows(source)
    return total if total is None or limit is None else min(total, limit)
