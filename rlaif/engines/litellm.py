"""Any provider that litellm speaks to: Anthropic, Google, Mistral, Bedrock, Azure, Ollama and others, by litellm's model names.

Each request goes out once: what is tried again, how long is waited and what ends a run is ``client``'s. Keys, addresses and
regions come from the environment, by the names that litellm documents (``ANTHROPIC_API_KEY``, ``AZURE_API_BASE``).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import httpx

from rlaif.engines import replies
from rlaif.engines.base import Choice, Failure, Generation, Prompt, Sampling
from rlaif.engines.client import Address, Client
from rlaif.engines.messages import (
    OTHERS,
    SPELLINGS,
    TOP,
    UNCUT,
    Messages,
    check_first_letters,
    estimated_fit,
    estimated_tokens,
)
from rlaif.engines.problem import NoReplyError
from rlaif.engines.replicas import Replica
from rlaif.engines.spending import Price
from rlaif.engines.wire import Reply, Wire
from rlaif.errors import UsageError, one_line

if TYPE_CHECKING:
    from types import ModuleType

PREFIX = "litellm:"
AT_FIRST = 16
"""Requests under way at once, to begin with: providers limit the rate, not the number."""
NEEDED = ("temperature", "seed", "n")
"""Parameters without which texts are drawn in another way than the run says."""
CHANGES = "the provider may change the model behind the name"


class LitellmEngine:
    """model: litellm's name, ``provider/model``. context: tokens of prompt and answer, less than the model's.

    Raises UsageError where litellm is not installed, or knows no such provider.
    """

    piece = 1

    def __init__(self, model: str, *, context: int | None = None) -> None:
        self.model = model.removeprefix(PREFIX)
        litellm = _module()
        try:
            bare, self.provider, _, _ = litellm.get_llm_provider(self.model)
        except litellm.BadRequestError:
            raise UsageError(
                f"{self.model!r}: litellm knows no such provider; name the model as litellm does, such as "
                "anthropic/claude-sonnet-4-5, gemini/gemini-2.5-flash, mistral/mistral-large-latest"
            ) from None
        taken = set(litellm.get_supported_openai_params(bare, custom_llm_provider=self.provider) or NEEDED)
        self.batch = (self.provider, bare)
        self._gives_logprobs = "logprobs" in taken
        about = litellm.model_cost.get(self.model) or litellm.model_cost.get(bare) or {}
        longest = about.get("max_input_tokens")
        self._context: int | None = min(longest, context) if longest and context else longest or context
        self.identity = f"{self.model} by litellm"
        self.notes: tuple[str, ...] = tuple(
            filter(
                None,
                (
                    SPELLINGS,
                    TOP if self._gives_logprobs else "",
                    UNCUT,
                    OTHERS,
                    CHANGES,
                    *(f"the provider takes no {name}" for name in NEEDED if name not in taken and name != "n"),
                ),
            )
        )

        async def look(wire: Wire, server: Replica) -> bool:
            return True

        def wire(headers: Mapping[str, str]) -> Wire:
            return _ByLibrary(litellm)

        self.client = Client(Address(()), [Replica(f"litellm://{self.model}", AT_FIRST)], self.model, AT_FIRST, look, wire)
        self.meter = self.client.meter
        self.meter.price, self.meter.once = _price(about), "n" in taken
        self._messages = Messages(self.client, several="n" in taken)

    def check_choices(self, choices: Sequence[str]) -> None:
        check_first_letters(choices)

    def count_tokens(self, prompt: Prompt) -> int:
        return estimated_tokens(prompt)

    def fit(self, prompt: Prompt, room: int) -> int | Failure:
        return 0 if self._context is None else estimated_fit(prompt, self._context - room)

    async def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> list[Choice | Failure]:
        if not self._gives_logprobs:
            raise UsageError(f"{self.model} gives no log-probabilities; {replies.NO_LOGPROBS}")
        return await asyncio.gather(*(self._messages.choose(prompt, choices) for prompt in prompts))

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Generation] | Failure]:
        if sampling.thinking:
            raise UsageError(f"--thinking: {self.model} is asked by messages, and its thoughts are its own; use --reasons")
        body: dict[str, Any] = {"max_tokens": sampling.max_tokens, "temperature": sampling.temperature}
        if sampling.top_p < 1:  # some providers take a temperature or this, not both
            body["top_p"] = sampling.top_p
        return await asyncio.gather(*(self._messages.generate(prompt, sampling, body) for prompt in prompts))

    async def close(self) -> None:
        await self.client.close()


def _price(about: Mapping[str, Any]) -> Price | None:
    """As litellm's table of models has it."""
    read, written = about.get("input_cost_per_token"), about.get("output_cost_per_token")
    return None if read is None or written is None else Price(1e6 * read, 1e6 * written)


def _module() -> ModuleType:
    """litellm, told to be quiet, to fetch nothing by itself, and to send each request once."""
    if find_spec("litellm") is None:
        raise UsageError("--engine litellm: litellm is not installed; pip install 'rlaif[api]'")
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.suppress_debug_info = True
    litellm.telemetry = False
    return litellm  # type: ignore[no-any-return]


class _ByLibrary:
    """Requests that litellm carries: a ``Wire``."""

    def __init__(self, litellm: ModuleType) -> None:
        self._litellm = litellm

    async def send(self, url: str, content: bytes | None) -> Reply:
        return await _completed(self._litellm, json.loads(content or b"{}"))

    async def close(self) -> None:
        pass


async def _completed(litellm: ModuleType, body: Mapping[str, Any]) -> Reply:
    """The provider's answer in the form of OpenAI's HTTP API, errors as well.

    Raises NoReplyError where there is none.
    """
    more = {"allowed_openai_params": ["top_logprobs"]} if "top_logprobs" in body else {}
    try:
        answer = await litellm.acompletion(**body, **more, drop_params=True, num_retries=0, max_retries=0)
    except Exception as error:  # each provider's part of litellm raises what it likes
        return _stated(litellm, error)
    return Reply(200, {}, answer.model_dump_json().encode())


def _stated(litellm: ModuleType, error: Exception) -> Reply:
    """What litellm raised, as the reply that it stands for."""
    status: int | None = getattr(error, "status_code", None)
    words = one_line(str(error).partition("Traceback (most recent call last)")[0], 1000)
    headers = dict(getattr(error, "litellm_response_headers", None) or {})
    if status is None or (status == 500 and not headers):  # no server said so
        if any(_of_the_wire(cause) for cause in _causes(error)):
            raise NoReplyError(words)
        status = 200  # there is a reply, of which litellm can make nothing
    stated = re.search(r'"retryDelay": *"(\d+(?:\.\d+)?)s"', str(error))  # Google says it in the body
    headers = {name.lower(): value for name, value in headers.items()} | ({"retry-after": stated[1]} if stated else {})
    if status == 500 and ("overloaded" in words.lower() or "retry-after" in headers):
        status = 529  # as Anthropic had it, before litellm made it a 500
    code = "content_filter" if isinstance(error, litellm.ContentPolicyViolationError) else str(getattr(error, "code", ""))
    if isinstance(error, litellm.ContextWindowExceededError):
        words += " (context)"
    return Reply(status, headers, json.dumps({"error": {"message": words, "code": code}}).encode())


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it was raised from or while."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _of_the_wire(error: BaseException) -> bool:
    """Whether no reply came. By name: providers' clients have classes of their own, not all of which are installed."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, OSError | httpx.RequestError) or bool(names & {"ClientError", "HTTPClientError"})
