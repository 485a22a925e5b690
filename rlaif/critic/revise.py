"""Critique and revision (Bai et al. 2022 §3): what a response lacks by one principle, then the response without that fault.

The first answer is the critique; the same prompt goes on with it and asks for the revision. Every answer is kept in the verdict
store under a key of all that shaped it, so nothing is asked twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from rlaif.constitution.types import Constitution, Principle
from rlaif.critic.aggregate import draw
from rlaif.critic.answers import answered
from rlaif.critic.examples import critique_shots
from rlaif.critic.store import Answer, VerdictStore, key
from rlaif.critic.templates import Form, Shot, Template
from rlaif.data.rows import Row, Turn
from rlaif.engines.base import Engine, Failure, FailureReason, Prompt, Sampling

FORM = Form("revise", "revise", ("response",), then=frozenset({"critique", "principle"}))
"""Of the template that asks for a critique and then for the revision."""
_FENCED = re.compile(r"<response>\s*(.*?)\s*</response>", re.DOTALL)


class Revision(NamedTuple):
    """One round: the principle that was drawn, the critique by it, and the response rewritten."""

    principle: Principle
    critique: str
    text: str


class Failed(NamedTuple):
    """Why a draft's revisions end before the last round. principle: None where none applies to the row."""

    principle: Principle | None
    failure: Failure


@dataclass(frozen=True, slots=True)
class Draft:
    """A response of a row on its way, with one revision for each round that it has been through."""

    row: Row
    index: int
    revisions: tuple[Revision, ...] = ()
    failed: Failed | None = None

    @property
    def text(self) -> str:
        """The response as it now is."""
        return self.revisions[-1].text if self.revisions else self.original

    @property
    def original(self) -> str:
        return self.row.responses[self.index].turns[0]["content"]


class Request(NamedTuple):
    """What is asked about a draft in one round. key: names everything that could change the critique."""

    key: bytes
    draft: Draft
    principle: Principle
    critique: str
    """The principle as the critique's request words it; ``revise``: as the revision's does."""
    revise: str
    shots: tuple[Shot, ...]


@dataclass(frozen=True)
class Reviser:
    """Who criticises and revises, and how. seed: of the drawn principles. shots: worked examples before each request."""

    engine: Engine
    template: Template
    constitution: Constitution
    store: VerdictStore
    sampling: Sampling
    seed: int = 0
    shots: int = 0

    async def advance(self, drafts: Sequence[Draft], number: int) -> list[Draft]:
        """The drafts after round ``number``, each by a principle of its own; those that have failed stay as they are."""
        advanced = list(drafts)
        requests = {
            index: request for index, draft in enumerate(drafts) if isinstance(request := self._request(draft, number), Request)
        }
        for index, draft in enumerate(drafts):
            if index not in requests and draft.failed is None:
                nothing = Failure(FailureReason.BAD_ROW, "no principle of the constitution applies to this row (see `when`)")
                advanced[index] = replace(draft, failed=Failed(None, nothing))
        critiques = await self._written({request.key: self._prompt(request) for request in requests.values()})
        criticised: dict[int, tuple[bytes, str]] = {}
        for index, request in requests.items():
            critique = self._read(critiques[request.key], "critique")
            if isinstance(critique, Failure):
                advanced[index] = replace(request.draft, failed=Failed(request.principle, critique))
            else:
                criticised[index] = key("revision", request.key.hex(), request.revise, critique), critique
        prompts = {name: self._prompt(requests[index], critique) for index, (name, critique) in criticised.items()}
        revisions = await self._written(prompts)
        for index, (name, critique) in criticised.items():
            draft, principle = requests[index].draft, requests[index].principle
            revision = self._read(revisions[name], "revision")
            if isinstance(revision, Failure):
                advanced[index] = replace(draft, failed=Failed(principle, revision))
            else:
                advanced[index] = replace(draft, revisions=(*draft.revisions, Revision(principle, critique, revision)))
        return advanced

    def _request(self, draft: Draft, number: int) -> Request | None:
        applying = [principle for principle in self.constitution.principles if principle.applies(draft.row.extra)]
        if draft.failed or not applying:
            return None
        weights = [principle.weight for principle in applying]
        weights = weights if any(weights) else [1.0] * len(weights)
        principle = applying[draw(weights, self.seed, draft.row.id, draft.index, number)]
        critique, revise = (
            self.template.wording(principle.text, principle.wordings.get(mode)) for mode in ("critique", "revise")
        )
        shots = critique_shots(principle, self.shots, draft.row.conversation)
        how = (self.sampling.max_tokens, self.sampling.temperature, self.sampling.top_p, self.sampling.seed)
        shaped = (critique, draft.row.conversation, draft.text, how, [revise, shots] if shots else [])
        name = key("critique", self.engine.identity, self.template.digest, *shaped)
        return Request(name, draft, principle, critique, revise, shots)

    def _prompt(self, request: Request, critique: str | None = None) -> Prompt:
        response = [Turn(role="assistant", content=request.draft.text)]
        conversation = request.draft.row.conversation
        return self.template.render(request.critique, conversation, [response], request.shots, critique, request.revise)

    async def _written(self, prompts: Mapping[bytes, Prompt]) -> dict[bytes, Answer]:
        """The answer to each prompt, by its key."""
        generate = partial(self.engine.generate, sampling=self.sampling)
        written = await answered(self.engine, prompts, generate, self.store)
        return written.answers

    def _read(self, answer: Answer, what: str) -> str | Failure:
        if not isinstance(answer, list):
            assert isinstance(answer, Failure)
            return replace(answer, detail=f"{what}: {answer.detail}")
        if answer[0].finish == "length":
            return Failure(FailureReason.TRUNCATED, f"{what}: longer than {self.sampling.max_tokens} tokens (--max-tokens)")
        text = answer[0].text.strip()
        fenced = _FENCED.fullmatch(text) if what == "revision" else None
        text = fenced[1] if fenced else text
        return text or Failure(FailureReason.PARSE_FAILED, f"{what}: empty")
