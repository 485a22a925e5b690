"""The file of answers, a line each: only ever added to, and on the disk before the next pair is shown."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from rlaif.data.annotated import FIRST, SECOND, TIE
from rlaif.data.columns import Record, column
from rlaif.data.pairs import pair_key
from rlaif.data.rows import Turn
from rlaif.data.write import atomic_write, disk_trouble, dumps
from rlaif.errors import RunFailed, UsageError

SKIP, UNDONE = "skip", "undone"
ANSWERS = (FIRST, SECOND, TIE, SKIP, UNDONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Record):
    """One person's answer to one question about a pair. The last one to the same question counts."""

    id: str = column("The pair's id in the run.")
    prompt: tuple[Turn, ...] = column("The conversation, a list of messages.")
    response_1: tuple[Turn, ...] = column("The response that was shown first, a list of messages.")
    response_2: tuple[Turn, ...] = column("The other one.")
    question: str = column("`overall`, or a principle's id (of one called so: `principles/overall`).")
    answer: str = column("`response_1`, `response_2`, `tie`, `skip`; `undone` takes the one before back.")
    annotator: str = column("Who answered.")
    choose: str = column("How the pair was chosen: `random`, `uncertainty`, `disagreement` or `stratified`.")
    time: str = column("When, in UTC.")


class Asked(NamedTuple):
    """pair: its name by its texts, see ``pair_key``."""

    annotator: str
    pair: bytes
    question: str


class Log:
    """path: of the file, which may not exist yet. Several processes may add to it.

    Raises UsageError where it holds something else than answers, naming the line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))
        with self._lock:
            self._cut()
        self.standing()

    def add(self, answer: Answer) -> None:
        """Write an answer, and return when the disk has it. Raises RunFailed, and adds nothing, where it does not take it."""
        line = (dumps(answer.to_dict()) + "\n").encode()
        with self._lock:
            size = self.path.stat().st_size if self.path.exists() else 0
            try:
                with self.path.open("ab") as file:
                    file.write(line)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                if self.path.exists():
                    os.truncate(self.path, size)
                raise RunFailed(disk_trouble(error, self.path) or f"{self.path}: {error.strerror}") from error

    def standing(self) -> dict[Asked, Answer]:
        """The answers that count, in the order in which they were given: the last to each question, if it was not undone."""
        found: dict[Asked, Answer] = {}
        for answer in self._answers():
            name, _ = pair_key(answer.prompt, answer.response_1, answer.response_2)
            asked = Asked(answer.annotator, name, answer.question)
            found.pop(asked, None)
            if answer.answer != UNDONE:
                found[asked] = answer
        return found

    def _answers(self) -> Iterator[Answer]:
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    answer = Answer.from_dict(json.loads(line))
                    if answer.answer not in ANSWERS:
                        raise ValueError(f"answer: expected one of {', '.join(ANSWERS)}, found {answer.answer!r:.60}")
                except (ValueError, AttributeError, TypeError) as error:
                    why = "not valid JSON" if isinstance(error, json.JSONDecodeError) else error
                    raise UsageError(f"{self.path}:{number}: no answer of rlaif annotate ({why}); give another --out") from None
                yield answer

    def _cut(self) -> None:
        """Take away the beginning of a line that a crash has left, which nobody was told was saved."""
        content = self.path.read_bytes() if self.path.exists() else b""
        if content and not content.endswith(b"\n") and b"\n" in content:
            os.truncate(self.path, content.rindex(b"\n") + 1)


def votes(answers: Iterable[tuple[Asked, Answer]]) -> dict[tuple[bytes, str], dict[str, float]]:
    """By pair and question, each annotator's vote for the response that comes first by its text (``pair_key``): 1, 0, or ½ for
    a tie. What was skipped has none."""
    found: dict[tuple[bytes, str], dict[str, float]] = {}
    for asked, answer in answers:
        if answer.answer != SKIP:
            _, first = pair_key(answer.prompt, answer.response_1, answer.response_2)
            vote = {FIRST: 1.0, SECOND: 0.0, TIE: 0.5}[answer.answer]
            found.setdefault((asked.pair, asked.question), {})[asked.annotator] = vote if first else 1.0 - vote
    return found


def write_gold(standing: Mapping[Asked, Answer], path: Path) -> int:
    """Write what the answers come to as rows that every command reads, a pair each, and return how many. A response's gold for
    a question is the share of the annotators who found it better, as of Argilla's and Label Studio's answers."""
    shares: dict[bytes, dict[str, float]] = {}
    for (pair, question), by_annotator in votes(standing.items()).items():
        shares.setdefault(pair, {})[question] = sum(by_annotator.values()) / len(by_annotator)
    answers: dict[bytes, list[Answer]] = {}
    for asked, answer in standing.items():
        if asked.pair in shares:
            answers.setdefault(asked.pair, []).append(answer)
    with atomic_write(path) as file:
        file.writelines(dumps(_row(given, shares[pair])) + "\n" for pair, given in answers.items())
    return len(answers)


def _row(given: Sequence[Answer], shares: Mapping[str, float]) -> dict[str, Any]:
    """The answers to questions about one pair as a row. shares: by question, of those who prefer the first by its text."""
    answer = given[0]
    _, first = pair_key(answer.prompt, answer.response_1, answer.response_2)
    texts = (answer.response_1, answer.response_2) if first else (answer.response_2, answer.response_1)
    golds = dict(shares), {question: 1.0 - share for question, share in shares.items()}
    responses = [{"messages": list(turns), "gold": gold} for turns, gold in zip(texts, golds, strict=True)]
    chosen = "+".join(sorted({each.choose for each in given}))
    return {"id": answer.id, "prompt": list(answer.prompt), "responses": responses, "choose": chosen}
