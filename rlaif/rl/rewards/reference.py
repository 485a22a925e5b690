"""The reference policy's answers, one to a prompt, made once and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from rlaif.critic.answers import fresh_answers
from rlaif.critic.store import Answer, VerdictStore, key
from rlaif.critic.verdict import Failure
from rlaif.data.rows import Row
from rlaif.engines.base import Engine, Sampling
from rlaif.sample.policy import as_prompt


@dataclass
class ReferenceAnswers:
    """Called with rows, gives an answer to each. The store makes a resumed run see the very same ones: another batch could
    change a greedy answer in its last digits."""

    engine: Engine
    sampling: Sampling
    store: VerdictStore
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, rows: Sequence[Row]) -> list[str | Failure]:
        names = [key("reference", self.engine.identity, row.conversation, self.sampling.max_tokens) for row in rows]
        async with self._turn:  # of two calls about one prompt, the second waits for the first one's answer
            answers = self.store.get(list(set(names)))
            missing = {name: row for name, row in zip(names, rows, strict=True) if name not in answers}
            prompts = {name: as_prompt(row.conversation) for name, row in missing.items()}
            generate = partial(self.engine.generate, sampling=self.sampling)
            answers |= await fresh_answers(self.engine, prompts, generate, self.store)
        return [_text(answers[name]) for name in names]


def _text(answer: Answer) -> str | Failure:
    if isinstance(answer, Failure):
        return answer
    assert isinstance(answer, list)
    return answer[0].text
