"""One person's way through the questions: which is next, what it was answered, and how it goes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlaif.annotate.choose import Task
from rlaif.annotate.log import SKIP, UNDONE, Answer, Asked, Log
from rlaif.data.annotated import FIRST, SECOND, TIE
from rlaif.data.pairs import pair_key
from rlaif.data.records import OVERALL, beside_overall
from rlaif.data.rows import Turn
from rlaif.errors import UsageError
from rlaif.evaluate.annotators import more_to_halve, reach

KEYS = {"1": FIRST, "2": SECOND, "t": TIE, "s": SKIP}
"""What a key says; ``u`` takes the last answer back."""


@dataclass
class Session:
    """wordings: each principle's text by the question's name. answered: the tasks with an answer, in the order in which they
    were given, and which."""

    tasks: Sequence[Task]
    log: Log
    annotator: str
    choose: str
    seed: int
    wordings: dict[str, str]

    def __post_init__(self) -> None:
        self._asked: list[Asked] = []
        self._chosen_first: list[bool] = []
        for task in self.tasks:
            pair, first = pair_key(task.record.prompt, task.record.chosen, task.record.rejected)
            self._asked.append(Asked(self.annotator, pair, task.question))
            coin = hashlib.sha256(repr((self.seed, self.annotator, pair)).encode("utf-8", "surrogatepass")).digest()[0] % 2
            self._chosen_first.append(first == bool(coin))
        known = {asked: number for number, asked in enumerate(self._asked)}
        self.answered: dict[int, str] = {
            known[asked]: answer.answer for asked, answer in self.log.standing().items() if asked in known
        }

    @property
    def current(self) -> int | None:
        """The number of the question to be asked; None when all are answered."""
        return next((number for number in range(len(self.tasks)) if number not in self.answered), None)

    def shown(self, number: int) -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
        """The two responses in the order in which this person sees them: drawn, so that it says nothing of the verdict."""
        record = self.tasks[number].record
        return (record.chosen, record.rejected) if self._chosen_first[number] else (record.rejected, record.chosen)

    def answer(self, number: int | None, key: str) -> None:
        """Save the answer to the current question. Raises UsageError where it is not the current one, or the key says nothing,
        RunFailed where it cannot be saved; then the question stays."""
        if key not in KEYS:
            raise UsageError(f"{key!r:.20}: expected one of {', '.join(KEYS)}")
        if number is None or number != self.current:
            raise UsageError("this question has its answer already")
        self._add(number, KEYS[key])
        self.answered[number] = KEYS[key]

    def undo(self) -> None:
        """Take the last answer back; without one, nothing."""
        if self.answered:
            number = next(reversed(self.answered))
            self._add(number, UNDONE)
            del self.answered[number]

    def state(self) -> dict[str, Any]:
        """What is shown: how far it has come, and the current question, without a word of the critic's verdict."""
        number = self.current
        shown: dict[str, Any] = {
            "annotator": self.annotator,
            "done": len(self.answered),
            "total": len(self.tasks),
            "words": self.words(),
            "number": number,
        }
        if number is None:
            return shown
        task = self.tasks[number]
        first, second = self.shown(number)
        question = "Which response is better?" if task.question == OVERALL else "Which response is better by this principle?"
        texts = {"prompt": _plain(task.record.prompt), "first": _plain(first), "second": _plain(second)}
        return {**shown, **texts, "question": question, "principle": self.wordings.get(task.question)}

    def words(self) -> str:
        """How close the critic's agreement with these answers is known, and what would make it twice as close. How high it is
        stays hidden: who knows it is not blind any more."""
        decided = [right for number, given in self.answered.items() if (right := self._agrees(number, given)) is not None]
        share = sum(decided) / len(decided) if decided else 0.5
        points = 100 * reach(share, len(decided))
        known = f"{len(decided):,} answers tell how often the critic agrees to within ±{points:.0f} points"
        return f"{known}; {more_to_halve(share, len(decided)):,} more would halve that."

    def _agrees(self, number: int, given: str) -> float | None:
        """Whether the critic's verdict is the answer; ½ where it has none or a tie, None for answers that prefer neither."""
        if given not in (FIRST, SECOND):
            return None
        p = probability(self.tasks[number])
        chosen_preferred = self._chosen_first[number] == (given == FIRST)
        return 0.5 if p is None or p == 0.5 else float(chosen_preferred == (p > 0.5))

    def _add(self, number: int, given: str) -> None:
        task = self.tasks[number]
        first, second = self.shown(number)
        self.log.add(
            Answer(
                id=task.record.id,
                prompt=task.record.prompt,
                response_1=first,
                response_2=second,
                question=task.question,
                answer=given,
                annotator=self.annotator,
                choose=self.choose,
                time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            )
        )


def probability(task: Task) -> float | None:
    """The critic's probability that ``chosen`` is better by what is asked."""
    if task.question == OVERALL:
        return task.record.p_chosen
    return next((verdict.p for verdict in task.record.principles if beside_overall(verdict.id) == task.question), None)


def _plain(turns: Sequence[Turn]) -> list[list[str]]:
    """Turns as (who, text), with what else a turn holds: thoughts, calls of tools, tools that may be called."""
    return [[turn["role"], "\n\n".join(_parts(turn))] for turn in turns]


def _parts(turn: Turn) -> list[str]:
    parts = [f"({turn['reasoning_content']})"] if turn.get("reasoning_content") else []
    parts += [turn["content"]] if turn["content"] else []
    parts += [f"{call['function']['name']}({call['function']['arguments']})" for call in turn.get("tool_calls", ())]
    return parts + ([f"tools: {turn['tools']}"] if turn.get("tools") else [])
