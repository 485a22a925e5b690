"""A critic with no sense and a good memory: what it says follows from the prompt's text alone, and from nothing in it."""

from __future__ import annotations

import json
import math
import random

from rlaif.constitution.types import Constitution, Principle
from rlaif.critic.ask import Critic
from rlaif.critic.judge import Judge
from rlaif.critic.store import VerdictStore
from rlaif.critic.templates import load_template
from rlaif.data.rows import Response, Row, Turn
from rlaif.engines.base import Choice, Failure, FailureReason, Generation

CONSTITUTION = Constitution("test", 1, (Principle("kind", "Be kind.", weight=3.0), Principle("short", "Be short.")))


class ErraticEngine:
    """failing: share of its answers that fail. asked: prompts so far. cut: its rationales reach the token limit."""

    notes: tuple[str, ...] = ()

    def __init__(self, name: str, failing: float = 0.0, cut: bool = False) -> None:
        self.identity, self.failing, self.cut, self.asked = name, failing, cut, 0

    def _luck(self, prompt) -> random.Random:
        self.asked += 1
        return random.Random(self.identity + "\n".join(message.text for message in prompt))

    async def choose(self, prompts, choices):
        return [self._choice(self._luck(prompt), len(choices)) for prompt in prompts]

    async def generate(self, prompts, sampling):
        return [self._text(self._luck(prompt), prompt, sampling) for prompt in prompts]

    def _choice(self, luck, n):
        if luck.random() < self.failing:
            return Failure(FailureReason.REFUSED, "no")
        weights = [luck.random() for _ in range(n)]
        return Choice(tuple(math.log(0.9 * weight / sum(weights)) for weight in weights), 0.9, str(luck.random()), 10)

    def _text(self, luck, prompt, sampling):
        if luck.random() < self.failing:
            return Failure(FailureReason.REFUSED, "no")
        n = sum(message.text.count("\n<response_") + message.text.startswith("<response_") for message in prompt)
        ranking = json.dumps({"ranking": luck.sample(range(1, n + 1), n)})
        text = ranking if sampling.pattern else f"because {luck.random()}"
        return [Generation(text, (1,), (0.0,), "length" if self.cut else "stop")]

    async def close(self):
        pass


def critics(store: VerdictStore, *engines: ErraticEngine, form: str = "compare", **how) -> tuple[Critic, ...]:
    template = load_template(form)
    return tuple(Critic(engine, Judge(CONSTITUTION, template, engine.identity, **how), store) for engine in engines)


def row(*texts: str) -> Row:
    responses = tuple(Response((Turn(role="assistant", content=text),)) for text in texts)
    return Row(1, "1", (Turn(role="user", content="hi"),), responses)
