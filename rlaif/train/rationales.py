"""Rationales for a critic that is to reason before it compares: written by a critic, kept where they lead to the known label.

The critic (the model itself, unless another is named) is asked as ``rlaif label --reasons`` asks it, in both orders of each
pair, ``--votes`` times; all answers are in the verdict store. Source: Zelikman et al. 2022, arXiv 2203.14465 §3 (STaR), without
its hints: where no rationale is right, none is made up.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from rlaif import loops
from rlaif.config_file import shown
from rlaif.constitution.types import Constitution, Principle
from rlaif.critic.ask import Critic, Replies
from rlaif.critic.config import CriticConfig
from rlaif.critic.judge import Asked
from rlaif.critic.modes.base import ORDERS
from rlaif.critic.modes.compare import comparison
from rlaif.critic.reasons import Reasons
from rlaif.critic.sampled import counted
from rlaif.critic.store import VerdictStore
from rlaif.critic.verdict import Comparison, Failure, FailureReason
from rlaif.data.read import named_columns
from rlaif.data.records import FailureRecord
from rlaif.data.rows import BadRow
from rlaif.data.run_folder import RunFolder
from rlaif.data.write import JsonlWriter
from rlaif.errors import RunFailed, UsageError
from rlaif.processes import processes
from rlaif.progress import Progress
from rlaif.settings import resumable
from rlaif.train.config import TrainConfig
from rlaif.train.feedback import GeneratedConfig
from rlaif.train.items import turns_of
from rlaif.train.judging import taught
from rlaif.train.rows import Example, read_examples
from rlaif.train.run import run_train

AT_ONCE = 32
"""Pairs that are asked about together."""
Known = list[tuple[Principle, float]]
"""By each principle, the probability that ``chosen`` is better."""


class Told(NamedTuple):
    """One rationale and what followed it. swapped: ``rejected`` was shown first. p: that ``chosen`` is better; or why there is
    no verdict, perhaps for want of a rationale."""

    swapped: bool
    text: str
    p: float | Failure


class Question(NamedTuple):
    """A pair by one principle. p: the known probability that ``chosen`` is better. told: what the critics say. verdicts: each
    critic's, over all of its rationales."""

    principle: str
    p: float
    told: list[Told]
    verdicts: list[Comparison | Failure]

    @property
    def right(self) -> list[Told]:
        """What led to the known label."""
        return [told for told in self.told if not isinstance(told.p, Failure) and agrees(told.p, self.p)]


@dataclass
class Counts:
    """questions: pairs, by each principle. agreement: questions whose verdict, over all rationales, is the known one. written:
    rationales that were asked for; failed: those without a verdict; right: those that led to the known label; kept: right ones
    that differ. unverified: questions without any that is right."""

    questions: int = 0
    agreement: int = 0
    written: int = 0
    failed: int = 0
    right: int = 0
    kept: int = 0
    unverified: int = 0

    def add(self, example: Example, questions: Sequence[Question]) -> Iterator[FailureRecord]:
        """Count what is known of a pair. Yields an entry of ``failures.jsonl`` for each question without a right rationale."""
        for question in questions:
            right, known = question.right, [each.p for each in question.verdicts if isinstance(each, Comparison)]
            missing = [told.p for told in question.told if isinstance(told.p, Failure)]
            self.questions += 1
            self.agreement += bool(known) and agrees(fmean(known), question.p)
            self.written += len(question.told)
            self.failed += len(missing)
            self.right += len(right)
            self.kept += len({(told.swapped, told.text) for told in right})
            self.unverified += not right
            if not right:
                wrong = f"none of {len(question.told)} rationales led to the known label, p {question.p:g}"
                why = missing[0] if len(missing) == len(question.told) else Failure(FailureReason.UNVERIFIED, wrong)
                reason, detail = str(why.reason), why.detail
                yield FailureRecord(
                    row=example.number, id=example.id, principle=question.principle, reason=reason, detail=detail
                )


def run_reasoned(config: GeneratedConfig, progress: Progress) -> dict[str, Any]:
    """Write the rationales in the folder ``OUT-reasons``, train on those that lead to the known label, and return the content
    of ``run.json``; without ``reasons``, train on the source.

    Each stage continues where it was stopped. Raises UsageError and RunFailed as the stages do, RunFailed where no rationale
    is right, or too many have no verdict.
    """
    if not config.reasons:
        return run_train(config.train, progress)
    if processes().num_processes > 1:
        raise UsageError("--reasons runs in one process: the critic writes and is judged while it learns")
    path = write_rationales(config, progress)
    return run_train(replace(config.train, source=str(path), columns=None, limit=None), progress)


def write_rationales(config: GeneratedConfig, progress: Progress) -> Path:
    """``rationales.jsonl``: the source's pairs, each with the rationales that led to its label in the column ``rationales``;
    what has none is listed in ``failures.jsonl`` beside it, and ``run.json`` has the counts (``Counts``)."""
    train, critic = config.train, replace(config.critic, mode="compare")
    out = train.out.with_name(f"{train.out.name}-reasons")
    path = out / "rationales.jsonl"
    constitution, _ = critic.inputs()
    examples, failures = _read(train, constitution)
    about = {"name": constitution.name, "version": constitution.version, "digest": constitution.digest}
    facts: dict[str, Any] = {"config": shown(critic), "data": _digest(examples), "constitution": about}
    with RunFolder(out, {"kind": "rationales", "source": train.source}, train.overwrite, config) as folder:
        then = folder.read()
        same = (
            (f"other rows in {train.source}", then.get("data"), facts["data"]),
            ("another constitution", then.get("constitution"), about),
        )
        before = folder.continued(facts["config"], resumable(CriticConfig), (), same)
        if before.get("status") == "finished" and path.is_file():
            return path
        engines = critic.engines()
        facts["critic"] = " + ".join(engine.identity for engine in engines)
        folder.write("running", facts)
        counts = Counts()
        with VerdictStore(critic.store) as store, JsonlWriter(path) as rows, JsonlWriter(out / "failures.jsonl") as failed:
            critics = critic.critics(engines, store)
            for failure in failures:
                failed.write(failure)
            progress.stage("rationales", len(examples), 0)

            async def ask() -> None:
                try:
                    for done in range(0, len(examples), AT_ONCE):
                        some = examples[done : done + AT_ONCE]
                        for (example, _), questions in zip(some, await _asked(critics, some), strict=True):
                            rows.write(_row(example, questions))
                            for failure in counts.add(example, questions):
                                failed.write(failure)
                                failures.append(failure)
                        progress.update(done + len(some), {"kept": counts.kept, "unverified": counts.unverified})
                finally:
                    await asyncio.gather(*(engine.close() for engine in engines))

            loops.run(ask())
        _check(counts, critic.max_failure_rate, failures, out)
        folder.write("finished", {**facts, "rationales": asdict(counts)})
    return path


def agrees(found: float, known: float) -> bool:
    """Whether both probabilities are on one side of ½."""
    return (found - 0.5) * (known - 0.5) > 0


def _read(train: TrainConfig, constitution: Constitution) -> tuple[list[tuple[Example, Known]], list[FailureRecord]]:
    """The pairs with what is known of them by each principle, and the rows that teach none."""
    examples: list[tuple[Example, Known]] = []
    failures: list[FailureRecord] = []
    for example in read_examples(train.source, "pairs", train.labels, train.limit, named_columns(train.columns)):
        known = Failure(FailureReason.BAD_ROW, example.detail) if isinstance(example, BadRow) else taught(constitution, example)
        if isinstance(example, BadRow) or isinstance(known, Failure):
            assert isinstance(known, Failure)
            name = None if isinstance(example, BadRow) else example.id
            failures.append(FailureRecord(row=example.number, id=name, reason=str(known.reason), detail=known.detail))
        else:
            examples.append((example, known))
    if not examples:
        why = Reasons.of(failures).commonest(len(failures), "rows") or "it is empty"
        raise UsageError(f"{train.source}: no pair of which it is known which response is better: {why}")
    return examples, failures


def _digest(examples: Sequence[tuple[Example, Known]]) -> str:
    seen = [(item.prompt, item.responses, [(principle.id, p) for principle, p in known]) for item, known in examples]
    return hashlib.sha256(repr(seen).encode("utf-8", "surrogatepass")).hexdigest()[:16]


async def _asked(critics: Sequence[Critic], some: Sequence[tuple[Example, Known]]) -> list[list[Question]]:
    """What the critics say of each pair by each of its principles."""
    plans = [
        [(principle, p, [_ask_of(critic, principle, example) for critic in critics]) for principle, p in known]
        for example, known in some
    ]
    replies = await asyncio.gather(
        *(
            critic.ask(question for plan in plans for _, _, asked in plan for question in asked[number].questions)
            for number, critic in enumerate(critics)
        )
    )

    def question(principle: Principle, p: float, asked: Sequence[Asked]) -> Question:
        of_each = list(zip(critics, asked, replies, strict=True))
        told = [one for critic, each, said in of_each for one in _told(critic, each, said)]
        verdicts: list[Any] = [critic.verdict(each, said) for critic, each, said in of_each]
        return Question(principle.id, p, told, verdicts)

    return [[question(*each) for each in plan] for plan in plans]


def _ask_of(critic: Critic, principle: Principle, example: Example) -> Asked:
    first, second = (turns_of(response) for response in example.responses)
    return critic.judge.both_orders(principle, example.prompt, first, second)


def _told(critic: Critic, asked: Asked, replies: Replies) -> list[Told]:
    judge, found = critic.judge, []
    for number, question in enumerate(asked.questions):
        swapped = ORDERS["both"][number % 2]
        answer, rationale = replies.answers[question.key], replies.rationales.get(question.key)
        label = counted(answer, judge.template.choices) if isinstance(answer, list) else answer
        verdict = comparison([label], "ba" if swapped else "ab", judge.min_mass)
        text = rationale.text if rationale else ""
        found.append(Told(swapped, text, verdict if isinstance(verdict, Failure) else verdict.p))
    return found


def _row(example: Example, questions: Sequence[Question]) -> dict[str, Any]:
    """A line of ``rationales.jsonl``, which ``rlaif train critic`` reads as any pair."""
    chosen, rejected = (turns_of(response) for response in example.responses)
    return {
        **example.extra,
        "id": example.id,
        "prompt": example.prompt,
        "chosen": chosen,
        "rejected": rejected,
        "p_chosen": example.p,
        "principles": [{"id": question.principle, "p": question.p} for question in questions],
        "rationales": [
            {"principle": question.principle, "swapped": swapped, "text": text}
            for question in questions
            for swapped, text in dict.fromkeys((told.swapped, told.text) for told in question.right)
        ],
    }


def _check(counts: Counts, most: float, failures: Sequence[FailureRecord], out: Path) -> None:
    if counts.failed > most * counts.written:
        why = Reasons.of([each for each in failures if each.reason != FailureReason.UNVERIFIED]).commonest(
            len(failures), "failures"
        )
        limit = f"--max-failure-rate {most:.0%}"
        raise RunFailed(f"{counts.failed} of {counts.written} rationales have no verdict, more than {limit}: {why}")
    if not counts.kept:
        raise RunFailed(
            f"none of {counts.written} rationales led to the known label ({out / 'failures.jsonl'}): the critic cannot tell, "
            "or follows position; rlaif critic check says which, --critic names another, and --votes asks for more"
        )
