"""The reference policy's answers, one to a prompt, made once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rlaif.critic.answers import answered
from rlaif.critic.store import Answer, VerdictStore, key
from rlaif.critic.verdict import Failure
from rlaif.data.rows import Row
from rlaif.engines.base import Engine, Sampling
from rlaif.sample.policy import as_prompt


@dataclass(frozen=True)
class ReferenceAnswers:
    """Called with rows, gives an answer to each. The store makes a resumed run see the very same ones: another batch could
    change a greedy answer in its last digits."""

    engine: Engine
    sampling: Sampling
    store: VerdictStore

    async def __call__(self, rows: Sequence[Row]) -> list[str | Failure]:
        names = [key("reference", self.engine.identity, row.conversation, self.sampling.max_tokens) for row in rows]
        prompts = {name: as_prompt(row.conversation) for name, row in zip(names, rows, strict=True)}
        generate = partial(self.engine.generate, sampling=self.sampling)
        written = await answered(self.engine, prompts, generate, self.store)
        return [_text(written.answers[name]) for name in names]


def _text(answer: Answer) -> str | Failure:
    if isinstance(answer, Failure):
        return answer
    assert isinstance(answer, list)
    return answer[0].text
