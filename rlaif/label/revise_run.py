"""A revising run: responses are criticised and revised, and the critic says which revisions are better than the originals."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from rlaif import loops
from rlaif.config_file import shown, write_config
from rlaif.critic.reasons import Noted
from rlaif.critic.revise import Draft, Reviser
from rlaif.critic.store import VerdictStore
from rlaif.critic.templates import load_template
from rlaif.data.inputs import unchanged
from rlaif.data.push import DATASET, check_hub, push
from rlaif.data.read import count_rows, named_columns, read_rows
from rlaif.data.records import PreferenceRecord, RevisionRecord, RevisionRound
from rlaif.data.rows import BadRow, Row
from rlaif.data.run_folder import RunFolder
from rlaif.data.storage import check_target, copy_to
from rlaif.data.write import JsonlWriter
from rlaif.errors import RunFailed, UsageError
from rlaif.label.conclude import conclude
from rlaif.label.config import ReviseConfig
from rlaif.label.pipeline import FIRST_JUDGEMENT, Counts, Labeller, Sink
from rlaif.label.revise import revised, revision_failure, revision_record
from rlaif.label.run import begin, run_facts
from rlaif.label.setup import open_engines
from rlaif.progress import Progress
from rlaif.tracking import Tracker, chosen


@dataclass
class Tally:
    """responses: read. failed: without a revision. unchanged: whose revision is the original. confirmed, rejected, unjudged:
    the other revisions, by whether the critic prefers them, and those without a verdict. by_principle: how often it was drawn,
    how often that changed the response, and how many of the responses that it changed came out confirmed."""

    responses: int = 0
    failed: int = 0
    unchanged: int = 0
    confirmed: int = 0
    rejected: int = 0
    unjudged: int = 0
    by_principle: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def revised(self) -> int:
        return self.responses - self.failed - self.unchanged

    def add(self, record: RevisionRecord) -> None:
        """Count a revised response."""
        revision, original = (response["text"] for response in record.responses)
        self.unchanged += revision == original
        for step in record.rounds:
            self._of(step.principle)["drawn"] += 1
        self._credit(original, record.rounds, "changed")

    def judged(self, record: PreferenceRecord) -> bool:
        """Count a preference between a revision (response 0) and its original (response 1); is the revision better?"""
        confirmed = record.chosen_index == 0 and record.p_chosen > 0.5
        self.confirmed += confirmed
        self.rejected += not confirmed
        if confirmed:
            rounds = [RevisionRound.from_dict(step) for step in record.extra["rounds"]]
            self._credit(record.rejected[0]["content"], rounds, "confirmed")
        return confirmed

    def _credit(self, original: str, rounds: Sequence[RevisionRound], what: str) -> None:
        texts = [original, *(step.revision for step in rounds)]
        changed = {step.principle for step, (before, after) in zip(rounds, pairwise(texts), strict=True) if before != after}
        for name in changed:
            self._of(name)[what] += 1

    def _of(self, principle: str) -> dict[str, int]:
        return self.by_principle.setdefault(principle, {"drawn": 0, "changed": 0, "confirmed": 0})


class _Split:
    """The records of pairs, each to the file that the critic's word sends it to."""

    def __init__(self, confirmed: JsonlWriter, rejected: JsonlWriter, tally: Tally) -> None:
        self._confirmed, self._rejected, self._tally = confirmed, rejected, tally

    def write(self, record: PreferenceRecord) -> None:
        (self._confirmed if self._tally.judged(record) else self._rejected).write(record)


def run_revise(config: ReviseConfig, progress: Progress | None = None) -> dict[str, Any]:
    """Revise the responses of ``config.source`` into ``config.out`` and return the content of ``run.json``.

    Raises UsageError before anything is asked when the input cannot be used, RunFailed when the run cannot be finished or the
    critic confirms no revision; then the same command continues.
    """
    progress = progress or Progress()
    chosen(config.track)
    check_hub(config.push_to_hub)
    check_target(config.copy_to)
    who = config.reviser or ("lab:reviser" if _is_lab(config.critic.models[0]) else config.critic.models[0])
    config = replace(config, reviser=who)
    constitution, _ = config.critic.inputs()
    revising = load_template("revise", config.critic.prompts)
    if config.critique_shots and not any(
        example.critique for principle in constitution.principles for example in principle.examples
    ):
        raise UsageError(f"--critique-shots: no example in {config.critic.constitution} has a critique, so none can be shown")
    rows = read_rows(config.source, config.limit, named_columns(config.columns))
    what = {"kind": "revise", "source": config.source}
    with ExitStack() as stack:
        folder = stack.enter_context(RunFolder(config.out, what, config.overwrite, config))
        engines, policy = open_engines(config.critic, who, config.drawing)
        assert policy is not None
        store = stack.enter_context(VerdictStore(config.critic.store))
        critics = config.critic.critics(engines, store)
        limit, seed = config.critic.max_failure_rate, config.critic.seed
        labeller = Labeller(critics, max_failure_rate=limit)
        reviser = Reviser(policy.engine, revising, constitution, store, policy.sampling, seed, config.critique_shots)
        facts = run_facts(config, critics[0].judge, [*engines, policy.engine], None)
        facts["critic"] = " + ".join(critic.judge.identity for critic in critics)
        facts["reviser"] = policy.engine.identity
        facts["revise_template"] = {"version": revising.version, "digest": revising.digest}
        begin(folder, config, facts)
        write_config(config, config.out, "revise")
        rows = unchanged(rows, config.source, facts["source_digest"])
        tally, counts, started, stopped = Tally(), Counts(), time.monotonic(), None
        with JsonlWriter(config.out / "failures.jsonl") as writer:
            failures = Noted(writer)
            try:
                loops.run(_work(config, rows, reviser, labeller, failures, tally, counts, progress))
                if not tally.confirmed:
                    raise RunFailed(f"the critic confirmed none of the {tally.revised} revisions; rejected.jsonl has them")
            except RunFailed as error:
                stopped = error
        timings = {"label_seconds": round(time.monotonic() - started, 3)}
        facts |= {"revisions": asdict(tally), "counts": {**asdict(counts), "rows_out": tally.confirmed}, "timings": timings}
        facts["failure_rate"] = round(counts.failure_rate, 6)
        answers = tally.responses + counts.failed + counts.verdicts
        unusable = failures.rows.counts.total()
        facts["commonest_failures"] = failures.commonest(unusable + tally.responses, answers, "revisions and verdicts")
        run = dict(conclude(folder, config, facts, stopped).run)
    push(config.push_to_hub, config.out, "dataset", DATASET)
    copy_to(config.copy_to, config.out)
    return run


def _is_lab(critic: str) -> bool:
    return critic.partition(":")[0] == "lab"


async def _work(
    config: ReviseConfig,
    rows: Iterator[Row | BadRow],
    reviser: Reviser,
    labeller: Labeller,
    failures: Noted,
    tally: Tally,
    counts: Counts,
    progress: Progress,
) -> None:
    """All revisions, then what the critic says of them; the engines stay open for both, and are closed however it ends."""
    out = config.out
    try:
        with JsonlWriter(out / "revisions.jsonl") as revisions:
            await _revise(config, revised(rows, reviser, config.rounds), revisions, failures, tally, progress)
        progress.stage("confirm", tally.revised, 0)
        with ExitStack() as stack:
            confirmed, rejected, metrics = (
                stack.enter_context(JsonlWriter(out / f"{name}.jsonl")) for name in ("preferences", "rejected", "metrics")
            )

            tracker = stack.enter_context(closing(Tracker(config.track, out, shown(config))))

            def chunk_done(so_far: Counts) -> None:
                metrics.write(asdict(so_far))
                figures = {"verdicts": so_far.verdicts, "failed": so_far.failed, "from_the_store": so_far.cached}
                tracker.log(so_far.rows_in, {**figures, "confirmed": tally.confirmed, "rejected": tally.rejected})
                progress.update(so_far.rows_in, {"confirmed": tally.confirmed, "rejected": tally.rejected})

            sink = Sink(_Split(confirmed, rejected, tally), failures, None, chunk_done)
            await labeller.run(_pairs(out / "revisions.jsonl"), sink, counts)
    finally:
        tally.unjudged = counts.unjudged
        for engine in {id(each): each for each in (*(critic.engine for critic in labeller.critics), reviser.engine)}.values():
            await engine.close()


async def _revise(
    config: ReviseConfig,
    entries: AsyncIterator[BadRow | Draft],
    revisions: JsonlWriter,
    failures: Noted,
    tally: Tally,
    progress: Progress,
) -> None:
    """Write what has been revised and what has failed. Raises RunFailed past the failure rate, or where nothing has changed."""
    total = count_rows(config.source)
    progress.stage("revise", total if total is None or config.limit is None else min(total, config.limit), 0)
    async for entry in entries:
        failure = revision_failure(entry)
        if failure is not None:
            failures.write(failure)
        if isinstance(entry, BadRow):
            continue
        tally.responses += 1
        tally.failed += not entry.revisions
        if entry.revisions:
            record = revision_record(entry)
            revisions.write(record)
            tally.add(record)
        progress.update(entry.row.number, {"failed": tally.failed, "unchanged": tally.unchanged})
        if tally.responses >= FIRST_JUDGEMENT:
            _check(config, tally, failures)
    _check(config, tally, failures)
    if not tally.responses:
        why = failures.rows.commonest(failures.rows.counts.total(), "rows")
        raise RunFailed(f"no row has a response to revise: {why}; failures.jsonl lists them")
    if not tally.revised:
        raise RunFailed(
            f"no response was changed: of {tally.responses}, {tally.failed} failed (failures.jsonl) and {tally.unchanged} came "
            "back as they were (revisions.jsonl)"
        )


def _check(config: ReviseConfig, tally: Tally, failures: Noted) -> None:
    if tally.failed > config.critic.max_failure_rate * tally.responses:
        raise RunFailed(
            f"{tally.failed} of {tally.responses} revisions failed, more than --max-failure-rate "
            f"{config.critic.max_failure_rate:g}. {failures.verdicts.commonest(tally.responses, 'revisions')}; "
            "failures.jsonl lists them"
        )


def _pairs(revisions: Path) -> Iterator[Row | BadRow]:
    """What the critic is asked about: the revisions that changed something."""
    for row in read_rows(str(revisions)):
        if isinstance(row, BadRow) or row.responses[0].turns != row.responses[1].turns:
            yield row
