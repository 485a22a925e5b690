"""What requests and answers look like; the OpenAPI page is made of this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rlaif.api.judging import Order, Preference, Rating
from rlaif.constitution.types import Constitution
from rlaif.critic.verdict import Comparison, Failure, Score

PROMPT = "How do I boil an egg?"
GOOD, BAD = "Seven minutes in boiling water.", "No idea."


class Form(BaseModel):
    """Keys that are not known are errors: a misspelt one must not change what is judged."""

    model_config = ConfigDict(extra="forbid")


class Message(BaseModel):
    """One turn of a conversation; further keys are those of OpenAI's chat format."""

    model_config = ConfigDict(extra="allow")
    role: Literal["system", "user", "assistant", "tool"]
    content: str


Text = str | Annotated[list[Message], Field(min_length=1)]
NAME = Field(None, description="By its name; the server's first one by default.")
COLUMNS = Field(None, description="What the row has besides, for principles with `when`.")


class CompareRequest(Form):
    """Which of two responses is better?"""

    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": PROMPT, "a": GOOD, "b": BAD}]})
    prompt: Text
    a: Text
    b: Text
    constitution: str | None = NAME
    columns: dict[str, Any] | None = COLUMNS


class ScoreRequest(Form):
    """How good is a response by itself?"""

    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": PROMPT, "response": GOOD}]})
    prompt: Text
    response: Text
    constitution: str | None = NAME
    columns: dict[str, Any] | None = COLUMNS


class RankRequest(Form):
    """Which of several responses are better?"""

    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": PROMPT, "responses": [BAD, GOOD, "Look it up."]}]})
    prompt: Text
    responses: list[Text] = Field(min_length=2)
    constitution: str | None = NAME
    columns: dict[str, Any] | None = COLUMNS


class OpenRlhfRequest(BaseModel):
    """As OpenRLHF posts it to `--reward.remote_url`: `query` is prompt and response in one text."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"query": [f"{PROMPT}\n{GOOD}"], "prompts": [f"{PROMPT}\n"], "labels": [None]}]}
    )
    query: list[str] = Field(min_length=1)
    prompts: list[str] | None = None
    labels: list[Any] | None = None


class LlamaFactoryRequest(BaseModel):
    """As LLaMA-Factory posts it with `reward_model_type: api`: each of `messages` is prompt and response in one text."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "model", "messages": [f"{PROMPT}\n{GOOD}"]}]})
    messages: list[str] = Field(min_length=1)
    model: str | None = None


class Missing(BaseModel):
    """A principle without a verdict, and why. It has no number."""

    reason: str
    detail: str


class Compared(BaseModel):
    """p: probability that `a` is better by this principle. gap: how far the order decided. mass: probability on the labels."""

    p: float
    gap: float | None
    mass: float | None


class Scored(BaseModel):
    """score: in [-1, 1]. distribution: probability of each label, from worst to best."""

    score: float
    mass: float
    distribution: list[float]


class By(BaseModel):
    """The constitution that was judged by. digest: of its content, so that an edit shows."""

    name: str
    digest: str


class CompareAnswer(BaseModel):
    """p: probability that `a` is better, all principles considered; null where none has a verdict."""

    p: float | None
    principles: dict[str, Compared | Missing]
    constitution: By


class ScoreAnswer(BaseModel):
    """score: in [-1, 1], all principles considered; null where none has a verdict."""

    score: float | None
    principles: dict[str, Scored | Missing]
    constitution: By


class RankAnswer(BaseModel):
    """order: places of the responses, best first, without those of which nothing is known. values: each one's mean
    probability of being better than another; null where there is no verdict."""

    order: list[int]
    values: list[float | None]
    pairs: list[Pair]
    constitution: By


class Pair(BaseModel):
    """What was said of two responses, by their places; p that the first is better."""

    places: tuple[int, int]
    p: float | None
    principles: dict[str, Compared | Missing]


class OpenRlhfAnswer(BaseModel):
    """missing, in extra_logs: 1 where there was no verdict and the reward is the mean of the prompt's other samples."""

    rewards: list[float]
    scores: list[float]
    extra_logs: dict[str, list[float]]


class LlamaFactoryAnswer(BaseModel):
    """missing: how many scores stand for a verdict that failed. LLaMA-Factory reads `scores` alone."""

    scores: list[float]
    missing: int


class ServedAnswer(By):
    """principles: by id. trouble: why the file as it is now is not used, and the last good one is."""

    principles: list[str]
    trouble: str | None


class State(BaseModel):
    """What /health and /ready say."""

    status: str


class Problem(BaseModel):
    """What is wrong, and what helps."""

    detail: str


def by(constitution: Constitution) -> By:
    return By(name=constitution.name, digest=constitution.digest)


def comparison(found: Preference, constitution: Constitution) -> CompareAnswer:
    return CompareAnswer(p=found.p, principles=_compared(found.principles), constitution=by(constitution))


def rating(found: Rating, constitution: Constitution) -> ScoreAnswer:
    principles = {
        name: _missing(said) if isinstance(said, Failure) else _scored(said) for name, said in found.principles.items()
    }
    return ScoreAnswer(score=found.score, principles=principles, constitution=by(constitution))


def ranking(found: Order, constitution: Constitution) -> RankAnswer:
    pairs = [Pair(places=places, p=said.p, principles=_compared(said.principles)) for places, said in found.pairs.items()]
    return RankAnswer(order=list(found.order), values=list(found.values), pairs=pairs, constitution=by(constitution))


def _compared(principles: Mapping[str, Comparison | Failure]) -> dict[str, Compared | Missing]:
    return {
        name: _missing(said) if isinstance(said, Failure) else Compared(p=said.p, gap=said.gap, mass=said.mass)
        for name, said in principles.items()
    }


def _scored(said: Score) -> Scored:
    return Scored(score=said.score, mass=said.mass, distribution=list(said.distribution))


def _missing(failure: Failure) -> Missing:
    return Missing(reason=str(failure.reason), detail=failure.detail)
