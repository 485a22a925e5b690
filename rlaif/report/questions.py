"""What the critic read for each verdict of a label run, and what it answered: the prompts as templates with slots, and the raw
log-probabilities as the verdict store keeps them.

Nothing is asked: a record says which questions there were, and the store holds the answers under these questions' keys.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from rlaif.critic.judge import Judge, Question
from rlaif.critic.store import Answer, VerdictStore, key
from rlaif.data.records import PreferenceRecord
from rlaif.data.rows import Response, Row, Turn
from rlaif.engines.base import Choice, Failure
from rlaif.errors import UsageError

SLOTS = ("conversation", "response_a", "response_b", "rationale")
ORDERS = ((0, 1), (1, 0), (0,), (1,))
"""Which responses a question shows, by their number in ``Ask.order``: 0 is the chosen one, 1 the rejected."""
Part = str | int
"""Text of a prompt, or the number of the slot that stands there."""


class Ask(NamedTuple):
    """One question to one critic. prompt: number of its template. order: see ``ORDERS``. critic: number in the jury.

    logprobs: of the choices, in their order; none where there is no answer, or one without. said: the answer in words.
    wrote: what the critic wrote before it answered.
    """

    prompt: int
    order: int
    critic: int
    logprobs: tuple[float, ...] = ()
    said: str = ""
    wrote: str | None = None


class Questions:
    """A context manager, around the run's verdict store where there is one. judges: one for each critic; none where it cannot
    be told what was asked, for the reason ``why``.

    prompts: the templates met so far, each a list of messages (role, parts). why: also, why there are no answers; '' where
    there are.
    """

    def __init__(self, judges: Sequence[Judge], store: Path, why: str = "") -> None:
        self.prompts: list[list[tuple[str, list[Part]]]] = []
        self.choices = judges[0].template.choices if judges else ()
        self.why = why or ("" if store.is_file() else f"The verdict store {store} is not here.")
        self._judges, self._path = judges, store
        self._principles = {principle.id: principle for judge in judges[:1] for principle in judge.constitution.principles}
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._store: VerdictStore | None = None

    def __enter__(self) -> Self:
        self._held = ExitStack()
        if not self.why:
            try:
                self._store = self._held.enter_context(VerdictStore(self._path))
            except UsageError as error:
                self.why = f"The verdict store cannot be read: {error}"
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()

    def asked(self, records: Sequence[PreferenceRecord]) -> Iterator[list[list[Ask]]]:
        """Of each record, for each of its verdicts in their order, what was asked."""
        if not self._judges:
            for record in records:
                yield [[] for _ in record.principles]
            return
        all_asked = [self._of(record) for record in records]
        wanted = [question for of_record in all_asked for asked in of_record for _, _, question in asked]
        names = [question.key for question in wanted]
        if self._judges[0].writes_first:
            names += [_rationale(question) for question in wanted]
        answers = self._store.get(names) if self._store else {}
        for of_record in all_asked:
            yield [[self._ask(order, critic, question, answers) for order, critic, question in asked] for asked in of_record]

    def fenced(self, turns: Sequence[Turn], response: bool) -> str | None:
        """The turns as they stand in a prompt; None where that cannot be told."""
        if not self._judges:
            return None
        template = self._judges[0].template
        return "".join(segment.text for segment in (template.response if response else template.conversation)(turns))

    def _of(self, record: PreferenceRecord) -> list[list[tuple[int, int, Question]]]:
        pair = (record.chosen, record.rejected)
        indexes = (record.chosen_index, record.rejected_index)
        first, second = sorted((0, 1), key=lambda side: indexes[side])
        row = Row(record.row, "", record.prompt, tuple(Response(pair[side]) for side in (first, second)))
        single = len(self._judges[0].template.form.responses) == 1
        subjects: list[tuple[int, ...]] = [(0,), (1,)] if single else [(0, 1)]
        principles = [self._principles[verdict.id] for verdict in record.principles if verdict.id in self._principles]
        asked: dict[str, list[tuple[int, int, Question]]] = {verdict.id: [] for verdict in record.principles}
        for critic, judge in enumerate(self._judges):
            for subject in subjects:
                for item in judge.ask(row, subject, principles):
                    for question in item.questions:
                        shown = tuple(pair.index(turns) for turns in question.responses)
                        asked[item.principle.id].append((ORDERS.index(shown), critic, question))
        return list(asked.values())

    def _ask(self, order: int, critic: int, question: Question, answers: Mapping[bytes, Answer]) -> Ask:
        written = answers.get(_rationale(question)) if self._judges[0].writes_first else None
        wrote = written[0].text if isinstance(written, list) else None
        prompt = self._prompt(question)
        answer = answers.get(question.key)
        if isinstance(answer, Choice):
            return Ask(prompt, order, critic, answer.logprobs, answer.raw, wrote)
        if isinstance(answer, Failure):
            return Ask(prompt, order, critic, (), f"{answer.reason}: {answer.detail}"[:300], wrote)
        said = " · ".join(text.text for text in answer or ())
        return Ask(prompt, order, critic, (), said[:300], wrote)

    def _prompt(self, question: Question) -> int:
        """The number of the template that the question is, made when it is first met."""
        name = (question.wording, repr(question.shots), len(question.responses))
        if name not in self._numbers:
            self._numbers[name] = len(self.prompts)
            self.prompts.append(self._parts(question))
        return self._numbers[name]

    def _parts(self, question: Question) -> list[tuple[str, list[Part]]]:
        marks = [f"\ue000{number}\ue001" for number in range(len(SLOTS))]
        responses = tuple((Turn(role="assistant", content=mark),) for mark in marks[1 : 1 + len(question.responses)])
        marked = question._replace(conversation=(Turn(role="user", content=marks[0]),), responses=responses)
        judge = self._judges[0]
        prompt = judge.prompt(marked, marks[3] if judge.writes_first else None)
        return [(message.role, _split(message.text, marks)) for message in prompt]


def questions_of(folder: Path, run: Mapping[str, Any]) -> Questions:
    """What the critic of a label run was asked. run: its ``run.json``."""
    from rlaif.constitution.load import from_resolved
    from rlaif.critic.templates import load_template
    from rlaif.label.diff import run_config

    try:
        config = run_config(folder, run)
        constitution = from_resolved(run["constitution"])
        template = load_template(config.critic.form, config.critic.prompts)
        named = next((variant for variant in template.variants if variant.digest == run["template"]["digest"]), None)
    except (UsageError, KeyError, TypeError, ValueError) as error:
        return Questions((), Path(), f"What the critic read cannot be told: {error}")
    if named is None:
        return Questions((), Path(), "What the critic read cannot be told: the prompt template has been edited since.")
    if named.form.numbered or not named.choices:
        why = f"In {named.mode} mode the critic reads all responses of a row at once; its prompts are not shown here."
        return Questions((), Path(), why)
    judge = config.critic.judge(constitution, named, "")
    return Questions([replace(judge, identity=name) for name in critics_of(run)], config.critic.store)


def critics_of(run: Mapping[str, Any]) -> list[str]:
    """The critics of a run, as their answers' keys name them."""
    return str(run.get("critic", "")).split(" + ")


def milli(logprob: float | None) -> int:
    """A log-probability in thousandths of a nat, as far down as 16 bits go; −32,768 is none."""
    if logprob is None:
        return -32768
    return -32767 if math.isinf(logprob) else max(-32767, round(1000 * logprob))


def _split(text: str, marks: Sequence[str]) -> list[Part]:
    """Text with marks in it as parts. The conversation's mark comes in its turn's fence, which the page's own has too."""
    parts: list[Part] = [text.replace(f"<user>\n{marks[0]}\n</user>", marks[0])]
    for number, mark in enumerate(marks):
        parts = [piece for part in parts for piece in (_between(part.split(mark), number) if isinstance(part, str) else [part])]
    return [part for part in parts if part != ""]


def _between(pieces: Sequence[str], number: int) -> list[Part]:
    return [part for piece in pieces for part in (number, piece)][1:]


def _rationale(question: Question) -> bytes:
    return key("rationale", question.key.hex())
