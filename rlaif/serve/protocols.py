"""The reward protocols of trainers: OpenRLHF's ``--reward.remote_url`` and LLaMA-Factory's ``reward_model_type: api``.

Neither knows a missing value. A verdict that failed gets the mean of its prompt's other samples in the request, of all others
without any, and of the last rewards given where the whole request failed: with a baseline nothing is learnt from it. The answer
says which those are, ``/metrics`` counts them, and where too many fail there is no answer, so that the trainer stops.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import fmean

from rlaif.api.judging import row_of
from rlaif.errors import RunFailed, UsageError
from rlaif.integrations.judged import filled
from rlaif.serve.config import ServeConfig
from rlaif.serve.constitutions import Constitutions, Served
from rlaif.serve.forms import LlamaFactoryAnswer, LlamaFactoryRequest, OpenRlhfAnswer, OpenRlhfRequest
from rlaif.serve.metrics import Metrics

LOOK_BACK = 100
"""Rewards over which the failure rate is taken, and whose mean stands in where a whole request failed."""


class Rewards:
    """The rewards of ``/v1/reward``."""

    def __init__(self, config: ServeConfig, constitutions: Constitutions, metrics: Metrics) -> None:
        self._config, self._constitutions, self._metrics = config, constitutions, metrics
        self._recent: dict[str, deque[float | None]] = {}

    async def openrlhf(self, request: OpenRlhfRequest, served: Served) -> OpenRlhfAnswer:
        """Raises UsageError where a query does not begin with its prompt, RunFailed where too many verdicts fail."""
        prompts, responses = self._apart(request.query, request.prompts)
        labels = request.labels or [None] * len(prompts)
        if len(labels) != len(prompts):
            raise UsageError(f"{len(prompts)} queries and {len(labels)} labels: give one for each")
        values = await self._values(served, prompts, responses, labels)
        rewards = self._filled(served, values, prompts)
        return OpenRlhfAnswer(
            rewards=rewards, scores=rewards, extra_logs={"missing": [float(value is None) for value in values]}
        )

    async def llama_factory(self, request: LlamaFactoryRequest, served: Served) -> LlamaFactoryAnswer:
        """Raises UsageError where ``--response-start`` is not said or not found, RunFailed where too many verdicts fail."""
        prompts, responses = self._apart(request.messages, None)
        values = await self._values(served, prompts, responses, [None] * len(prompts))
        return LlamaFactoryAnswer(scores=self._filled(served, values, prompts), missing=values.count(None))

    def _apart(self, texts: Sequence[str], prompts: Sequence[str] | None) -> tuple[list[str], list[str]]:
        """Prompts and responses of texts that hold both."""
        start, end = self._config.response_start, self._config.response_end
        found: list[tuple[str, str]] = []
        if prompts is not None and len(prompts) != len(texts):
            raise UsageError(f"{len(texts)} queries and {len(prompts)} prompts: give one for each")
        for number, text in enumerate(texts, 1):
            if prompts is not None:
                prompt = prompts[number - 1]
                if not text.startswith(prompt):
                    raise UsageError(f"query {number} does not begin with its prompt, so where its response is cannot be known")
                response = text.removeprefix(prompt)
            elif start is None:
                raise UsageError("prompt and response are one text here: start the server with --response-start")
            else:
                prompt, between, response = text.rpartition(start)
                if not between:
                    raise UsageError(f"text {number} does not hold {start!r} (--response-start)")
            found.append((prompt, response.partition(end)[0] if end else response))
        return [prompt for prompt, _ in found], [response for _, response in found]

    async def _values(
        self, served: Served, prompts: Sequence[str], responses: Sequence[str], labels: Sequence[object]
    ) -> list[float | None]:
        """Each response's reward, None where there is none. labels: the column ``answer``, for principles with ``when``."""
        columns = [None if label is None else {"answer": label} for label in labels]
        if self._config.feedback == "score":
            rows = [
                row_of(number, prompt, [response], extra)
                for number, (prompt, response, extra) in enumerate(zip(prompts, responses, columns, strict=True), 1)
            ]
            return [rating.score for rating in await self._constitutions.scored(served, rows)]
        groups: dict[str, list[int]] = {}
        for place, prompt in enumerate(prompts):
            groups.setdefault(prompt, []).append(place)
        if min(map(len, groups.values())) < 2:
            raise UsageError("--feedback group compares a prompt's samples with each other: send all of them in one request")
        rows = [
            row_of(places[0] + 1, prompt, [responses[place] for place in places], columns[places[0]])
            for prompt, places in groups.items()
        ]
        values: list[float | None] = [None] * len(prompts)
        for places, order in zip(groups.values(), await self._constitutions.ranked(served, rows), strict=True):
            for place, value in zip(places, order.values, strict=True):
                values[place] = value
        return values

    def _filled(self, served: Served, values: Sequence[float | None], prompts: Sequence[str]) -> list[float]:
        """``values`` as numbers, by the rule above."""
        name = served.constitution.name
        recent = self._recent.setdefault(name, deque(maxlen=LOOK_BACK))
        recent.extend(values)
        missing = values.count(None)
        self._metrics.missing.labels(name).inc(missing)
        rate, limit = recent.count(None) / len(recent), self._config.critic.max_failure_rate
        if len(recent) == LOOK_BACK and rate > limit:
            raise RunFailed(
                f"{rate:.0%} of the last {LOOK_BACK} rewards have no verdict, more than --max-failure-rate {limit:g}"
            )
        known = [value for value in recent if value is not None]
        if missing == len(values) and known:
            return [fmean(known)] * len(values)
        return filled(values, prompts)
