"""Before the first question: what the servers say of their model, and whether its tokenizer can be had here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx

from rlaif.engines import client, replies
from rlaif.engines.client import Address
from rlaif.engines.problem import FINAL, NoReplyError, Problem, read_reply
from rlaif.engines.replicas import Replica
from rlaif.engines.replies import BadReply, Card
from rlaif.engines.wire import Wire
from rlaif.errors import RunFailed, UsageError, one_line, warn

T = TypeVar("T")
PROBE = "Is <this> 12 tokens, or 13?\n  naïve 漢字"
LOOK_SECONDS = 10
NOBODY = 3
"""Tries where nothing listens at the address."""


def meet(urls: Sequence[str]) -> tuple[Address, list[Replica], Card]:
    """The servers at ``urls`` (``http://host:8000#model``), and the model that they serve, which is one.

    A server that does not answer is left to come later, as long as another one does. Raises RunFailed where none does,
    UsageError where they serve different models or not the one that was named.
    """
    named = [_base(url) for url in urls]
    address = Address.of([base for base, _ in named])
    with ThreadPoolExecutor(len(named)) as threads:
        answers = list(threads.map(lambda name: _card(address, *name), named))
    servers = [
        Replica(base, 1.0, known=not isinstance(answer, RunFailed)) for (base, _), answer in zip(named, answers, strict=True)
    ]
    cards = [answer for answer in answers if isinstance(answer, Card)]
    for server, problem in zip(servers, answers, strict=True):
        if not isinstance(problem, RunFailed):
            continue
        if not cards:
            raise problem
        server.tell("does not answer")
    if len(identities := {identity(card) for card in cards}) > 1:
        raise UsageError(f"the servers do not serve the same model: {', '.join(sorted(identities))}")
    return address, servers, cards[0]


async def serves(wire: Wire, server: Replica, card: Card) -> bool:
    """Whether a server that was away is back with the model of ``card``."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            reply = await wire.send(f"{server.url}/models", None)
    except (NoReplyError, BadReply, TimeoutError):
        return False
    reported = read_reply(*reply, lambda content: replies.model_card(content, card.name))
    if isinstance(reported, Problem):
        return False
    if not isinstance(reported, Card) or identity(reported) != identity(card):
        warn(f"{server.name} now serves another model; it is not asked")
        return False
    return True


def identity(card: Card) -> str:
    """What the server says of its model; with the content hash where the model's folder can be read here."""
    from rlaif.engines.identity import content_hash

    root = card.root or card.name
    if Path(root).is_dir():
        return f"{Path(root).name}@{content_hash(Path(root))} server"
    return f"{root} server"


def find_encoder(address: Address, server: Replica, card: Card, tokenizer: str | None) -> Any | None:
    """A ``PromptEncoder`` that provably agrees with the server's own tokenizer; None where there is none, or none is wanted."""
    required = tokenizer not in (None, "none")
    source = tokenizer or card.root
    if tokenizer == "none" or not source or not (card.vllm or required):
        return None
    from transformers import AutoTokenizer

    from rlaif.engines.tokens import PromptEncoder

    try:
        ours = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        if required:
            raise UsageError(f"--tokenizer {source}: {str(error).splitlines()[0]}") from None
        return None
    body = {"model": card.name, "prompt": PROBE, "add_special_tokens": False}
    url = server.url.removesuffix("/v1") + "/tokenize"
    theirs = ask(address, url, body, lambda reply: _read(reply, replies.token_ids))
    if theirs != ours.encode(PROBE, add_special_tokens=False):
        if required:
            raise UsageError(f"--tokenizer {source} does not tokenize as the server at {server.name} does")
        return None
    return PromptEncoder(ours)


def generation_settings(card: Card, tokenizer: str | None) -> dict[str, Any]:
    """The generation settings of the model that a server serves, for ``--generation-config model``.

    Raises UsageError where they cannot be read here, or the server could not be told to follow them.
    """
    from transformers import GenerationConfig

    if not card.vllm:
        raise UsageError("--generation-config model: only vLLM servers can be told how to draw; set the server instead")
    source = tokenizer if tokenizer and tokenizer != "none" else card.root
    if (Path(source) / "config.json").is_file() and not (Path(source) / "generation_config.json").is_file():
        return {}
    try:
        return dict(GenerationConfig.from_pretrained(source).to_diff_dict())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--generation-config model: the generation_config.json of the server's model cannot be read here "
            f"({str(error).splitlines()[0]}); --tokenizer FOLDER says where the model's files are"
        ) from None


def _card(address: Address, base: str, name: str) -> Card | RunFailed:
    def read(response: httpx.Response) -> Card | list[str] | Problem:
        return _read(response, lambda content: replies.model_card(content, name))

    models: Card | list[str] | Problem = ask(address, f"{base}/models", None, read, get=True)
    shown = Replica(base, 1.0).name
    if isinstance(models, Problem):
        if models.kind == "unreachable":
            return RunFailed(f"{shown}: no server answers there ({models.words}); is it running, and is the URL right?")
        return RunFailed(f"{shown}/models does not answer as an OpenAI-compatible server does: {models.words}")
    if isinstance(models, Card):
        return models
    raise UsageError(f"{shown} serves no model {name!r}; it has {', '.join(models)}")


def ask(
    address: Address,
    url: str,
    body: Any,
    read: Callable[[httpx.Response], T | Problem],
    *,
    get: bool = False,
    seconds: float = LOOK_SECONDS,
) -> T | Problem:
    """One request before or between the others, tried as often as any. body: as JSON; None for none."""
    pauses = client.PATIENCE.pauses
    with httpx.Client(headers=address.headers, timeout=seconds) as http:
        for number, pause in enumerate((*pauses, None), start=1):
            nobody = False
            result: T | Problem
            try:
                result = read(http.get(url) if get else http.post(url, json=body))
            except httpx.DecodingError as error:
                result = Problem("bad", f"the reply cannot be unpacked: {error}")
            except (httpx.RequestError, httpx.InvalidURL) as error:
                nobody = isinstance(error, httpx.ConnectError | httpx.InvalidURL | httpx.UnsupportedProtocol)
                result = Problem("unreachable", f"{type(error).__name__} {error}".strip())
            if not isinstance(result, Problem):
                return result
            result = Problem(result.kind, one_line(result.words, client.LONGEST))
            if pause is None or result.kind in FINAL or (nobody and number >= NOBODY):
                return result
            time.sleep(min(pause, client.PATIENCE.brief))
    raise AssertionError("the last try returns")


def _read(response: httpx.Response, read: Callable[[dict[str, Any]], T]) -> T | Problem:
    return read_reply(response.status_code, response.headers, response.content, read)


def _base(url: str) -> tuple[str, str]:
    """``http://host:8000#model`` as the API's base URL and the model's name ('' where none is given)."""
    address, _, model = url.strip().partition("#")
    address = address.rstrip("/")
    return (address if address.endswith("/v1") else f"{address}/v1"), model
