"""A label run's judged pairs as columns: what the page's list filters, sorts, shows and exports."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from rlaif.data.records import PreferenceRecord, beside_overall
from rlaif.data.rows import Turn
from rlaif.report.columns import Block, Kind, Texts, data, numbers
from rlaif.report.questions import ORDERS, Ask, Questions, milli

MAX_TEXT = 20_000
"""Characters of a turn that the page holds."""
_BATCH = 256
_COLUMNS: Mapping[Kind, tuple[str, ...]] = {
    "u4": ("row", "prompt", "chosen", "rejected", "rationale", "start", "ask_start", "ask_wrote"),
    "u2": ("chosen_index", "rejected_index", "principle", "ask_prompt", "ask_said"),
    "u1": ("failure", "ask_order", "ask_critic"),
    "i2": ("ask_logprobs",),
    "f4": ("p", "gold", "verdict_p", "own_p", "gap", "weight", "mass", "verdict_gold"),
}
_TYPES = {"u1": "B", "u2": "H", "u4": "I", "i2": "h", "f4": "f"}
"""How ``array`` calls them."""

R = TypeVar("R")


class Pairs:
    """Takes records one after the other; ``blocks`` when all are in. questions: what the critic was asked.

    Of N pairs with V verdicts and Q questions: a pair's verdicts are those from ``start[pair]`` to ``start[pair + 1]``, a
    verdict's questions those from ``ask_start[verdict]`` to ``ask_start[verdict + 1]``.
    """

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._texts = Texts()
        self._ids: list[str] = []
        self._columns: dict[str, array[Any]] = {name: array(_TYPES[kind]) for kind, names in _COLUMNS.items() for name in names}
        self._put(start=0, ask_start=0)
        self._principles: dict[str, int] = {}
        self._failures: dict[str, int] = {}
        self._said: dict[str, int] = {"": 0}

    def add(self, records: Iterable[PreferenceRecord]) -> None:
        for batch in batches(records, _BATCH):
            for record, of_record in zip(batch, self._questions.asked(batch), strict=True):
                self._add(record, of_record)

    def blocks(self, meta: Mapping[str, Any]) -> list[Block]:
        """meta: what else the list needs to know."""
        every = {
            **meta,
            "n": len(self._ids),
            "principles": list(self._principles),
            "failures": list(self._failures),
            "orders": ORDERS,
            "prompts": self._questions.prompts,
            "choices": self._questions.choices,
            "said": list(self._said),
            "untold": self._questions.why,
        }
        columns = [numbers(name, self._columns[name], kind) for kind, names in _COLUMNS.items() for name in names]
        return [data("pairs", every), data("ids", self._ids), *columns, *self._texts.finish()]

    def _add(self, record: PreferenceRecord, asked: Sequence[Sequence[Ask]]) -> None:
        self._ids.append(record.id)
        rationale = 0 if record.rationale is None else 1 + self._texts.number([[["critic", _cut(record.rationale)]]])
        self._put(
            row=record.row,
            prompt=self._text(record.prompt, False),
            chosen=self._text(record.chosen, True),
            rejected=self._text(record.rejected, True),
            rationale=rationale,
            chosen_index=record.chosen_index,
            rejected_index=record.rejected_index,
            p=record.p_chosen,
            gold=record.gold_margin,
        )
        gold = record.gold_margins
        for verdict, questions in zip(record.principles, asked, strict=True):
            self._put(
                principle=self._principles.setdefault(beside_overall(verdict.id), len(self._principles)),
                failure=0 if verdict.failure is None else 1 + self._failures.setdefault(verdict.failure, len(self._failures)),
                verdict_p=verdict.p,
                own_p=verdict.asked,
                gap=verdict.gap,
                weight=verdict.weight,
                mass=verdict.mass,
                verdict_gold=gold.get(verdict.id),
            )
            for ask in questions:
                self._put(
                    ask_prompt=ask.prompt,
                    ask_order=ask.order,
                    ask_critic=ask.critic,
                    ask_said=self._word(ask.said),
                    ask_wrote=0 if ask.wrote is None else 1 + self._texts.number([[["critic", _cut(ask.wrote)]]]),
                )
                logprobs = ask.logprobs or [None] * len(self._questions.choices)
                self._columns["ask_logprobs"].extend(map(milli, logprobs))
            self._put(ask_start=len(self._columns["ask_prompt"]))
        self._put(start=len(self._columns["principle"]))

    def _put(self, **values: Any) -> None:
        for name, value in values.items():
            self._columns[name].append(math.nan if value is None else value)

    def _word(self, said: str) -> int:
        """The number of a word that the critic said; past 2^16 different ones the rest goes unsaid."""
        return self._said.setdefault(said, len(self._said)) if len(self._said) < 65535 else self._said.get(said, 0)

    def _text(self, turns: Sequence[Turn], response: bool) -> int:
        """The number of an entry [turns], or [turns, more] where the page could not know from the turns what the critic read
        (``fenced``), or where they were cut (``cut``)."""
        shown = [[turn["role"], _cut(_said(turn))] for turn in turns]
        more: dict[str, Any] = {}
        if any(len(_said(turn)) > MAX_TEXT or turn.keys() - {"role", "content"} for turn in turns):
            more["cut"] = True
        read = self._questions.fenced(turns, response)
        if read is not None and read != plainly_fenced([[turn["role"], turn["content"]] for turn in turns], response):
            more["fenced"] = _cut(read)
        return self._texts.number([shown, more] if more else [shown])


def plainly_fenced(turns: Sequence[Sequence[str]], response: bool) -> str:
    """What the page takes turns (role, content) to be in a prompt, unless it is told otherwise."""
    if response and len(turns) == 1 and turns[0][0] == "assistant":
        return turns[0][1]
    return "\n".join(f"<{role}>\n{content}\n</{role}>" for role, content in turns)


def batches(records: Iterable[R], size: int) -> Iterator[list[R]]:
    stream = iter(records)
    while batch := list(islice(stream, size)):
        yield batch


def _said(turn: Turn) -> str:
    """A turn's text for people: with its reasoning before and its calls after it."""
    calls = [f"{call['function']['name']}({call['function']['arguments']})" for call in turn.get("tool_calls", ())]
    return "\n".join(part for part in (turn.get("reasoning_content", ""), turn["content"], *calls) if part)


def _cut(text: str) -> str:
    left_out = len(text) - MAX_TEXT
    return text if left_out <= 0 else f"{text[:MAX_TEXT]}\n… ({left_out:,} more characters in preferences.jsonl)"
