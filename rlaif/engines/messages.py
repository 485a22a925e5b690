"""Prompts asked as messages, of whatever speaks OpenAI's chat completions: one request for each, or for each draw.

Special-token spellings in untrusted text are broken up, and label log-probabilities are read from the most likely tokens that
the protocol gives.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from rlaif.engines import replies
from rlaif.engines.base import Choice, Failure, FailureReason, Generation, Message, Prompt, Sampling
from rlaif.engines.client import Client
from rlaif.engines.dialect import Dialect
from rlaif.engines.neutral import neutralise
from rlaif.engines.problem import Problem
from rlaif.engines.rendering import THINK, as_text, begun
from rlaif.errors import RunFailed, UsageError

T = TypeVar("T")
SPELLINGS = "prompts were sent as messages: special-token spellings in untrusted text were broken up by a space"
TOP = "label log-probabilities come from the top 20 (or as many as the server gives)"
UNCUT = "over-long prompts are too_long instead of being cut"
OTHERS = "what a template begins the answer with is left out, and the server may draw texts by settings of its own"
"""What is to be known of being asked by messages; the last one of servers other than vLLM."""


class Messages:
    """vllm: the server is vLLM, which takes more than the protocol has. several: it draws ``n`` texts in one request."""

    def __init__(self, client: Client, *, vllm: bool = False, several: bool = True) -> None:
        self._client, self._vllm, self._several = client, vllm, several
        self._dialect = Dialect()

    async def choose(self, prompt: Prompt, choices: Sequence[str]) -> Choice | Failure:
        """What the model thinks of ``choices`` as its answer."""

        def read(content: dict[str, Any]) -> Choice | Failure:
            ((choice,),) = replies.choices_of(content, 1, 1)
            return replies.listed(choice, choices, replies.prompt_tokens(content))

        async def ask(most: int) -> Choice | Failure:
            body = {"max_tokens": most, "temperature": 0, "logprobs": True, "top_logprobs": Dialect.TOP}
            return await self._chat(prompt, body, read, f"choose {most}")

        most = self._dialect.label_tokens
        answer = await ask(most)
        if most == 1 and isinstance(answer, Choice) and not answer.raw.strip():
            later = await ask(Dialect.WAY)  # the label may come after a line break or a space of its own
            if isinstance(later, Choice) and later.mass > answer.mass:
                self._dialect.label_tokens = Dialect.WAY
                return later
        return answer

    async def generate(self, prompt: Prompt, sampling: Sampling, body: Mapping[str, Any]) -> list[Generation] | Failure:
        """``sampling.n`` texts. body: how they are drawn, as the protocol says it."""
        draws = [(sampling.n, 0)] if self._several else [(1, number) for number in range(sampling.n)]

        async def draw(n: int, number: int) -> list[Generation] | Failure:
            def read(content: dict[str, Any]) -> list[Generation] | Failure:
                (drawn,) = replies.choices_of(content, 1, n)
                return all_of([replies.written(choice, replies.prompt_tokens(content)) for choice in drawn])

            seeded = {**body, "n": n, "seed": sampling.seed_for(prompt) + number}
            return await self._chat(prompt, seeded, read, f"generate {sampling.max_tokens} {n}")

        drawn = await asyncio.gather(*(draw(*each) for each in draws))
        return all_of([text for texts in drawn for text in ([texts] if isinstance(texts, Failure) else texts)])

    async def _chat(
        self, prompt: Prompt, body: Mapping[str, Any], read: Callable[[dict[str, Any]], T | Failure], kind: str
    ) -> T | Failure:
        """The answer to one prompt, in the way of speaking that the server turns out to understand."""
        asked, _, beginning = begun(prompt)
        extra: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": False}} if self._vllm else {}
        messages = as_messages(asked)
        if beginning and self._vllm:
            messages.append({"role": "assistant", "content": beginning})
            extra |= {"add_generation_prompt": False, "continue_final_message": True}
        request = {"messages": messages, **extra, **body}
        unexplained = 0
        while True:
            spoken = self._dialect.spoken(request)
            answer = await self._client.post("chat/completions", spoken, read, kind=kind)
            if not isinstance(answer, Problem):
                return answer
            self._dialect.learn(answer.words, spoken)
            unexplained += self._dialect.spoken(request) == spoken
            if answer.kind != "refused" or unexplained == 2:  # a refusal that teaches nothing is heard twice
                if "logprobs" in body and "logprobs" in answer.words and not self._client.ever(kind):
                    raise RunFailed(f"{answer.words}; {replies.NO_LOGPROBS}")
                return answer.failure


def check_first_letters(choices: Sequence[str]) -> None:
    """Raise UsageError for labels that may not differ in their first token."""
    for choice in choices:
        longer = [other for other in choices if other != choice and other.startswith(choice)]
        if longer:
            raise UsageError(f"the labels {choice!r} and {longer[0]!r} may begin with the same token; use other labels")


def estimated_tokens(prompt: Prompt) -> int:
    """The usual estimate for English."""
    return sum(len(message.text) for message in prompt) // 4


def estimated_fit(prompt: Prompt, limit: int) -> int | Failure:
    """0 where the prompt has about ``limit`` tokens at most: by messages, nothing can be cut."""
    tokens = estimated_tokens(prompt)
    return 0 if tokens <= limit else Failure(FailureReason.TOO_LONG, f"about {tokens} tokens, room for {limit}")


def all_of(drawn: Sequence[Generation | Failure]) -> list[Generation] | Failure:
    """All draws from one prompt, or why one of them is missing."""
    failed = next((text for text in drawn if isinstance(text, Failure)), None)
    return failed or [text for text in drawn if isinstance(text, Generation)]


def as_messages(prompt: Prompt) -> list[dict[str, str]]:
    """The prompt in the protocol's form, without any spelling of a special token in untrusted text."""
    return [{"role": message.role, "content": _content(message)} for message in as_text(prompt)]


def _content(message: Message) -> str:
    text = "".join(part.text if part.trusted else neutralise(part.text) for part in message.segments)
    reasoning = json.loads(message.more)["reasoning_content"] if message.more else None
    return text if reasoning is None else neutralise(f"{THINK[0]}{reasoning}{THINK[1]}") + text
