"""A sampling run: prompts in, a file of prompts with responses out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from rlaif import loops
from rlaif.config_file import shown
from rlaif.critic.reasons import Noted
from rlaif.critic.store import VerdictStore
from rlaif.data.inputs import stamp, unchanged
from rlaif.data.read import count_rows, named_columns, read_rows
from rlaif.data.records import FailureRecord
from rlaif.data.rows import BadRow, Row
from rlaif.data.run_folder import RunFolder
from rlaif.data.write import JsonlWriter
from rlaif.engines.base import Engine, FailureReason
from rlaif.errors import RunFailed, UsageError
from rlaif.progress import Progress
from rlaif.sample.config import SampleConfig
from rlaif.sample.policy import PolicySampler, with_responses
from rlaif.settings import resumable

ENGINE = frozenset(("model", "engine", "dtype", "context", "gpu_memory", "tokenizer"))
"""Settings that the policy's identity stands for where samples are continued."""


@dataclass
class SampleCounts:
    """rows_in: rows read. rows_out: rows written with their responses. rows_failed: the others, listed as failures.
    responses_cut: responses that ``--max-tokens`` cut off, of all that were written."""

    rows_in: int = 0
    rows_out: int = 0
    rows_failed: int = 0
    responses_cut: int = 0


def run_sample(config: SampleConfig, progress: Progress | None = None) -> dict[str, int]:
    """Sample ``config.drawing.samples`` responses to each row of ``config.source`` into ``config.out``; returns the counts.

    ``NAME.run.json`` beside it says of what it was made: other samples, or a file that is none, are not replaced.

    Raises UsageError before anything is asked when the input cannot be used, RunFailed when no row could be answered.
    """
    if config.out.suffix != ".jsonl":
        raise UsageError(f"--out {config.out}: the samples are written as JSON Lines; give a name that ends in .jsonl")
    total = count_rows(config.source)
    total = total if total is None or config.limit is None else min(total, config.limit)
    rows = read_rows(config.source, config.limit, named_columns(config.columns))
    what = {"kind": "sample", "source": config.source}
    with RunFolder(config.out.parent, what, config.overwrite, config, name=config.out.stem) as folder:
        content = stamp(config.source)
        facts: dict[str, Any] = {"config": shown(config), "source_digest": content}

        def begin(engine: Engine) -> None:
            policy = engine.identity
            facts["policy"], facts["notes"] = policy, list(engine.notes)
            before = folder.read()
            same = [
                (f"another policy ({before.get('policy')}, not {policy})", before.get("policy"), policy),
                (f"other rows in {config.source}", before.get("source_digest"), content),
            ]
            folder.continued(facts["config"], ENGINE | resumable(SampleConfig), (), same)
            folder.write("running", facts)

        counts = sample_rows(unchanged(rows, config.source, content), total, config, progress, begin)
        folder.write("finished", {**facts, "counts": counts})
    return counts


def sample_rows(
    rows: Iterable[Row | BadRow],
    total: int | None,
    config: SampleConfig,
    progress: Progress | None = None,
    begin: Callable[[Engine], None] = lambda policy: None,
) -> dict[str, int]:
    """``run_sample`` of rows that have been read; responses that they bring are replaced.

    begin: called with the policy's engine before anything is asked.

    ``config.out`` and ``config.failures`` appear when all is done. Until then every answer is in the store, from where the
    same call takes it: stopped and continued, it writes the same bytes.
    """
    progress = progress or Progress()
    try:
        config.out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {config.out}: cannot be made: {error.strerror}") from None
    policy = PolicySampler(config.drawing.open(config.model), config.drawing.sampling(config.seed))
    begin(policy.engine)
    counts = SampleCounts()
    progress.stage("sample", total, 0)
    with VerdictStore(config.store) as store, JsonlWriter(config.out) as samples:
        with JsonlWriter(config.failures) as writer:
            failures = Noted(writer)
            loops.run(_stream(rows, policy, store, samples, failures, counts, progress))
        if not counts.rows_out:
            why = failures.rows.commonest(counts.rows_in, "rows")
            raise RunFailed(f"none of the {counts.rows_in} rows has a response: {why}; {config.failures} lists them")
    return asdict(counts)


async def _stream(
    rows: Iterable[Row | BadRow],
    policy: PolicySampler,
    store: VerdictStore,
    samples: JsonlWriter,
    failures: Noted,
    counts: SampleCounts,
    progress: Progress,
) -> None:
    bare = (replace(row, responses=()) if isinstance(row, Row) else row for row in rows)
    try:
        async for row in with_responses(bare, policy, store):
            counts.rows_in += 1
            if isinstance(row, BadRow):
                counts.rows_failed += 1
                failures.write(FailureRecord(row=row.number, reason=str(FailureReason.BAD_ROW), detail=row.detail))
            else:
                counts.rows_out += 1
                texts = [response.turns[0]["content"] for response in row.responses]
                finish = [response.extra["finish"] for response in row.responses]
                counts.responses_cut += finish.count("length")
                asked = {"id": row.id, "prompt": list(row.conversation), **row.extra}
                samples.write({**asked, "responses": texts, "finish": finish})
            progress.update(counts.rows_in, {"failed": counts.rows_failed, "cut": counts.responses_cut})
    finally:
        await policy.engine.close()
