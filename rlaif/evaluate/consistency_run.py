"""A policy's answers to prompts in several wordings, drawn several times each, and how often it keeps its answer."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, islice
from typing import Any, NamedTuple

import numpy as np

from rlaif import loops
from rlaif.config_file import shown, write_config
from rlaif.critic.ask import Critic, Replies
from rlaif.critic.jury import Jury
from rlaif.critic.modes import same
from rlaif.critic.store import VerdictStore
from rlaif.critic.templates import fitted, load_template
from rlaif.critic.verdict import Comparison
from rlaif.data.inputs import stamp
from rlaif.data.read import count_rows, named_columns, read_rows
from rlaif.data.records import FailureRecord
from rlaif.data.rows import BadRow, Response, Row, Turn
from rlaif.data.run_folder import RunFolder
from rlaif.data.write import JsonlWriter
from rlaif.engines.base import Engine, FailureReason
from rlaif.errors import RunFailed, UsageError
from rlaif.evaluate.config import ConsistencyConfig
from rlaif.evaluate.consistency import Kept, cells, consistency, equal, extracted, kept, normalised
from rlaif.evaluate.intervals import Floats
from rlaif.evaluate.outcome import Found, as_json, continued, named
from rlaif.evaluate.requirements import CORRELATION, SHARE, Range
from rlaif.evaluate.wordings import COLUMN, given, put, reworded
from rlaif.progress import Progress
from rlaif.sample.policy import PolicySampler, with_responses

PROMPTS = 32
"""Asked at a time."""
MEASURES: dict[str, Range] = {**dict.fromkeys(("resampled", "reworded", "always"), SHARE), "wording": CORRELATION}
"""What can be required."""
POLICY, REWORDER = "the policy", "the reworder"


class _Asked(NamedTuple):
    """A prompt's answers. wording: of each, which one it answers; places in ``wordings``."""

    row: Row
    wordings: list[str]
    answers: list[str]
    wording: list[int]


def check_consistency(config: ConsistencyConfig, progress: Progress | None = None) -> Found:
    """Ask, compare and write into ``config.out``. All answers are in the store: the same command continues.

    Raises UsageError where the settings do not go together or the prompts cannot be read, RunFailed where nothing was answered.
    """
    progress = progress or Progress()
    check_settings(config)
    rows = read_rows(config.source, config.limit, named_columns(config.columns))
    total = count_rows(config.source)
    with RunFolder(config.out, {"kind": "evaluate consistency", "source": config.source}, config.overwrite, config) as folder:
        engines = _open(config)
        critics = [engines[model] for model in dict.fromkeys(config.critic.models)]
        policy = PolicySampler(engines[POLICY], config.drawing.sampling(config.critic.seed))
        reworder = engines[REWORDER] if config.reworder is not None else None
        facts: dict[str, Any] = {"config": shown(config), "source_digest": stamp(config.source)}
        facts |= {"policy": policy.engine.identity, "critic": " + ".join(engine.identity for engine in critics)}
        facts["reworder"] = reworder.identity if reworder else None
        continued(folder, facts, config, ["policy", "critic", "reworder"])
        write_config(config, config.out, "evaluate consistency")
        progress.stage("ask", total if total is None or config.limit is None else min(total, config.limit), 0)
        with (
            VerdictStore(config.critic.store) as store,
            JsonlWriter(config.out / "answers.jsonl") as answers,
            JsonlWriter(config.out / "rewordings.jsonl") as wordings,
            JsonlWriter(config.out / "failures.jsonl") as failures,
        ):
            work = _Work(config, policy, reworder, _jury(config, critics, store), store)
            found, failed = loops.run(_run(work, rows, answers, wordings, failures, progress, set(engines.values())))
        if not found:
            raise RunFailed(f"none of the {failed} prompts has two answers; {config.out}/failures.jsonl says why")
        lines = consistency(found, config.critic.seed)
        facts |= {"counts": {"prompts": len(found), "failed": failed}, "figures": [as_json(line) for line in lines]}
        folder.write("finished", facts)
    figures = named(lines, "all", resampled="resampled", reworded="reworded", always="always", wording="wording")
    return Found(lines, cells(lines), figures)


def check_settings(config: ConsistencyConfig) -> None:
    """Raises UsageError for settings that do not go together."""
    for flag, value, needed in (
        ("--answer", config.answer, "exact"),
        ("--verifier", config.verifier, "verifier"),
        ("--critic", config.critic.models or None, "critic"),
    ):
        if value is not None and config.same != needed:
            raise UsageError(f"{flag} needs --same {needed}")
        if value is None and config.same == needed != "exact":
            raise UsageError(f"--same {needed} needs {flag}")
    try:
        re.compile(config.answer or "")
    except re.error as error:
        raise UsageError(f"--answer {config.answer!r}: no regular expression: {error}") from None
    if config.verifier:
        from rlaif.rl.rewards.verifier import load_verifier

        load_verifier(config.verifier)


def wordings_of(config: ConsistencyConfig, row: Row) -> int:
    """How many wordings of a prompt are asked at most."""
    own = given(row)
    return 1 + config.rewordings if config.reworder and len(own) == 1 else len(own)


class _Work(NamedTuple):
    config: ConsistencyConfig
    policy: PolicySampler
    reworder: Engine | None
    jury: Jury | None
    store: VerdictStore


async def _run(
    work: _Work,
    rows: Iterator[Row | BadRow],
    answers: JsonlWriter,
    wordings: JsonlWriter,
    failures: JsonlWriter,
    progress: Progress,
    engines: Collection[Engine],
) -> tuple[list[Kept], int]:
    """What each prompt's answers show, and how many prompts have failed."""
    found: list[Kept] = []
    done = failed = 0
    try:
        while batch := list(islice(rows, PROMPTS)):
            usable = [row for row in batch if isinstance(row, Row)]
            bad = [(row.number, None, row.detail) for row in batch if isinstance(row, BadRow)]
            asked, unanswered = await _answers(work, usable)
            for each, alike in zip(asked, await _alike(work, asked), strict=True):
                category = str(each.row.extra.get(work.config.by, "")) if work.config.by else ""
                shares = kept(alike, each.wording, category)
                found.append(shares)
                answers.write(_record(each, alike, shares))
                wordings.write({"id": each.row.id, "prompt": list(each.row.conversation), COLUMN: each.wordings[1:]})
            for number, name, detail in [*bad, *unanswered]:
                failures.write(FailureRecord(row=number, id=name, reason=str(FailureReason.BAD_ROW), detail=detail))
            done, failed = done + len(batch), failed + len(bad) + len(unanswered)
            progress.update(done, {"failed": failed})
    finally:
        for engine in engines:
            await engine.close()
    return found, failed


async def _answers(work: _Work, rows: Sequence[Row]) -> tuple[list[_Asked], list[tuple[int, str | None, str]]]:
    """Each row's answers; and the rows with fewer than two, with why."""
    wordings = [given(row) for row in rows]
    if work.reworder is not None:
        alone = [place for place, own in enumerate(wordings) if len(own) == 1]
        made = await reworded(
            work.reworder, work.store, [rows[place] for place in alone], work.config.rewordings, work.policy.sampling
        )
        for place, own in zip(alone, made, strict=True):
            wordings[place] = own
    flat = [put(row, wording) for row, own in zip(rows, wordings, strict=True) for wording in own]
    numbered = [replace(row, number=number) for number, row in enumerate(flat)]
    sampled = {row.number: row async for row in with_responses(numbered, work.policy, work.store)}
    asked: list[_Asked] = []
    failed: list[tuple[int, str | None, str]] = []
    start = 0
    for row, own in zip(rows, wordings, strict=True):
        texts, places, why = list[str](), list[int](), ""
        for place in range(len(own)):
            answer = sampled[start + place]
            if isinstance(answer, BadRow):
                why = answer.detail
            else:
                texts += [response.turns[0]["content"] for response in answer.responses]
                places += [place] * len(answer.responses)
        start += len(own)
        if len(texts) > 1:
            asked.append(_Asked(row, own, texts, places))
        else:
            failed.append((row.number, row.id, why or "one answer alone: give --samples 2, rewordings or --reworder"))
    return asked, failed


async def _alike(work: _Work, asked: Sequence[_Asked]) -> list[Floats]:
    """Of each prompt, how far every two answers are the same, [N, N]."""
    if work.jury is not None:
        return await _judged(work.jury, asked)
    if work.config.verifier:
        from rlaif.rl.rewards.verifier import columns, load_verifier

        verify = load_verifier(work.config.verifier)
        try:
            return [equal([verify(columns(each.row), text) for text in each.answers]) for each in asked]
        except Exception as error:  # of a user's function anything may come
            raise RunFailed(f"--verifier {work.config.verifier}: {type(error).__name__}: {error}") from error
    pattern = re.compile(work.config.answer) if work.config.answer else None
    parts = [[extracted(text, pattern) for text in each.answers] for each in asked]
    return [equal([None if part is None else normalised(part) for part in texts]) for texts in parts]


async def _judged(jury: Jury, asked: Sequence[_Asked]) -> list[Floats]:
    """As the critics say, who see the prompt's own wording."""
    rows = [
        replace(each.row, responses=tuple(Response((Turn(role="assistant", content=text),)) for text in each.answers))
        for each in asked
    ]
    plans = [[jury.plan(row, pair) for pair in combinations(range(len(row.responses)), 2)] for row in rows]
    replies = Replies()
    await jury.ask([plan for own in plans for plan in own], replies)
    found = []
    for row, own in zip(rows, plans, strict=True):
        alike, verdicts = np.eye(len(row.responses)), jury.verdicts(own, replies)
        for first, second in combinations(range(len(row.responses)), 2):
            ((_, verdict),) = jury.on_pair(verdicts, first, second)
            alike[first, second] = alike[second, first] = verdict.p if isinstance(verdict, Comparison) else np.nan
        found.append(alike)
    return found


def _record(each: _Asked, alike: Floats, shares: Kept) -> dict[str, Any]:
    """A prompt with all that was asked and found."""
    listed = [{"wording": place, "text": text} for place, text in zip(each.wording, each.answers, strict=True)]
    same_rows = [[None if np.isnan(value) else round(float(value), 6) for value in row] for row in alike]
    figures = {name: as_json(value) for name, value in shares._asdict().items() if name != "category"}
    return {
        "id": each.row.id,
        "prompt": list(each.row.conversation),
        "wordings": each.wordings,
        "answers": listed,
        "same": same_rows,
        **figures,
    }


def _open(config: ConsistencyConfig) -> dict[str, Engine]:
    """The engines of the critics by model, the policy's and the reworder's; a model that is several of these is opened once.
    On one GPU they share its memory."""
    asked, drawing = replace(config.critic, mode=same.NAME), config.drawing
    models = list(dict.fromkeys([*asked.models, config.model, *([config.reworder] if config.reworder else [])]))
    alike = asked.engine.context == drawing.engine.context and drawing.generation_config == "neutral"
    critics = asked.engines(others=len(models) - len(set(asked.models))) if asked.models else []
    engines = dict(zip(dict.fromkeys(asked.models), critics, strict=True))
    drawn = dict(engines) if alike else {}
    for name, model in ((POLICY, config.model), (REWORDER, config.reworder)):
        if model is not None:
            if model not in drawn:
                drawn[model] = drawing.open(model, others=len(models) - 1)
            engines[name] = drawn[model]
    return engines


def _jury(config: ConsistencyConfig, engines: Sequence[Engine], store: VerdictStore) -> Jury | None:
    if not engines:
        return None
    asked = replace(config.critic, mode=same.NAME)
    template = fitted(load_template(same.SAME.form, asked.prompts), engines)
    return Jury(tuple(Critic(each, asked.judge(same.QUESTION, template, each.identity), store) for each in engines))
