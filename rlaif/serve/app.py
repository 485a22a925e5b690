"""The application: its paths, and what becomes of each kind of error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.types import ASGIApp

from rlaif import __version__
from rlaif.api.judging import row_of
from rlaif.errors import RunFailed, UsageError, one_line
from rlaif.serve import forms
from rlaif.serve.config import ServeConfig
from rlaif.serve.constitutions import Constitutions, TooLarge, UnknownConstitution
from rlaif.serve.guard import Guard
from rlaif.serve.metrics import Metrics
from rlaif.serve.protocols import Rewards
from rlaif.serve.queue import QueueFull

RELOAD_EVERY = 1.0
"""Seconds between looks at the constitutions' files."""
RETRY_BROKEN = 5
"""Seconds after which a client may ask again where the critic's engine is gone."""
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": forms.Problem, "description": text}
    for status, text in {
        400: "not JSON",
        401: "no key, or a wrong one",
        404: "no such constitution",
        408: "the request took too long to arrive",
        413: "too large, or too many questions",
        422: "not a request that can be judged",
        429: "too much is waiting; Retry-After says for how long",
        503: "the critic cannot answer; Retry-After says when to try again",
        504: "no answer in time",
    }.items()
}
ABOUT = """Judges responses by constitutions. A verdict or a failure, never an invented label: what has no verdict is null, with
the reason beside it. The same question is asked of the critic once."""

Named = Annotated[str | None, Query(description="The constitution's name; the server's first one by default.")]


class State:
    """What of the server changes while it runs. draining: it has been told to end, and finishes what is under way."""

    draining = False


def make_app(
    config: ServeConfig, constitutions: Constitutions, metrics: Metrics, keys: tuple[bytes, ...], state: State
) -> ASGIApp:
    """The application, which owns ``constitutions`` from here on and closes it at its end."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(_watch(constitutions))
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            await constitutions.close()

    app = FastAPI(title="rlaif", version=__version__, description=ABOUT, lifespan=lifespan, redoc_url=None)
    rewards = Rewards(config, constitutions, metrics)

    @app.post("/v1/compare", responses=PROBLEMS)
    async def compare(request: forms.CompareRequest) -> forms.CompareAnswer:
        """Which of two responses is better, by each principle and by all? Both orders are asked."""
        served = constitutions.named(request.constitution)
        row = row_of(1, _plain(request.prompt), [_plain(request.a), _plain(request.b)], request.columns)
        constitution = served.constitution
        (found,) = await constitutions.compared(served, [row])
        return forms.comparison(found, constitution)

    @app.post("/v1/score", responses=PROBLEMS)
    async def score(request: forms.ScoreRequest) -> forms.ScoreAnswer:
        """How good is a response, by each principle and by all?"""
        served = constitutions.named(request.constitution)
        row = row_of(1, _plain(request.prompt), [_plain(request.response)], request.columns)
        constitution = served.constitution
        (found,) = await constitutions.scored(served, [row])
        return forms.rating(found, constitution)

    @app.post("/v1/rank", responses=PROBLEMS)
    async def rank(request: forms.RankRequest) -> forms.RankAnswer:
        """Which of n responses are better? All n(n − 1)/2 pairs are compared."""
        served = constitutions.named(request.constitution)
        row = row_of(1, _plain(request.prompt), [_plain(each) for each in request.responses], request.columns)
        constitution = served.constitution
        (found,) = await constitutions.ranked(served, [row])
        return forms.ranking(found, constitution)

    @app.post("/v1/reward", responses=PROBLEMS)
    async def reward(
        request: forms.OpenRlhfRequest | forms.LlamaFactoryRequest, constitution: Named = None
    ) -> forms.OpenRlhfAnswer | forms.LlamaFactoryAnswer:
        """Rewards in the protocol that the request is in: OpenRLHF's or LLaMA-Factory's."""
        served = constitutions.named(constitution)
        if isinstance(request, forms.OpenRlhfRequest):
            return await rewards.openrlhf(request, served)
        return await rewards.llama_factory(request, served)

    @app.get("/v1/constitutions", responses={401: PROBLEMS[401]})
    async def served_constitutions() -> list[forms.ServedAnswer]:
        """What is served, the default first."""
        return [
            forms.ServedAnswer(
                **forms.by(each.constitution).model_dump(),
                principles=[principle.id for principle in each.constitution.principles],
                trouble=each.trouble,
            )
            for each in constitutions.served
        ]

    @app.get("/health")
    async def health() -> forms.State:
        """The process answers."""
        return forms.State(status="alive")

    @app.get("/ready", responses={503: {"model": forms.Problem, "description": "it ends"}})
    async def ready() -> forms.State:
        """New requests are welcome."""
        if state.draining:
            raise RunFailed("the server ends and takes no more requests")
        return forms.State(status="ready")

    @app.get("/metrics", responses={401: PROBLEMS[401]}, response_class=Response)
    async def prometheus() -> Response:
        """Counts and times, for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    for kind, status in ((UsageError, 422), (UnknownConstitution, 404), (TooLarge, 413), (QueueFull, 429), (RunFailed, 503)):
        app.add_exception_handler(kind, _problem(status))
    app.add_exception_handler(RequestValidationError, _invalid)
    return Guard(app, config, keys, metrics)


def _plain(text: forms.Text) -> Any:
    """As rows hold it."""
    return text if isinstance(text, str) else [message.model_dump() for message in text]


def _problem(status: int) -> Any:
    async def handle(request: Request, error: Exception) -> JSONResponse:
        wait = error.wait if isinstance(error, QueueFull) else RETRY_BROKEN if isinstance(error, RunFailed) else None
        headers = {} if wait is None else {"Retry-After": str(wait)}
        return JSONResponse({"detail": one_line(str(error), 1000)}, status, headers)

    return handle


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """A body that is no request: where, and what was expected. 400 where it is not even JSON."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    status = 400 if first["type"] == "json_invalid" else 422
    return JSONResponse({"detail": one_line(f"{where}: {first['msg']}", 1000)}, status)


async def _watch(constitutions: Constitutions) -> None:
    while True:
        await asyncio.sleep(RELOAD_EVERY)
        constitutions.reload()
