"""Whether a critic is worth asking, in at most two hundred questions, before the whole job is paid for.

It is asked about the constitution's examples and about texts whose right answer needs no label: two responses that are the
same, a response and none, a response and the same one twice over. Each question is asked in both orders.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from rlaif.constitution.types import Constitution, Principle
from rlaif.critic.ask import Critic, Replies
from rlaif.critic.config import CriticConfig
from rlaif.critic.examples import known
from rlaif.critic.judge import Asked, Judge
from rlaif.critic.reasons import Reasons
from rlaif.critic.store import VerdictStore
from rlaif.critic.verdict import Comparison, Failure
from rlaif.data.rows import Turn
from rlaif.errors import UsageError
from rlaif.evaluate.agreement import wilson
from rlaif.evaluate.findings import FLIPS, MASS, Finding
from rlaif.evaluate.table import interval, percent

Kind = Literal["examples", "shuffled", "identical", "empty", "longer"]
DECIDED: tuple[Kind, ...] = ("examples", "empty")
"""Those of which one response is clearly the better, so that no verdict should turn over with the order."""
EACH = 24
"""Comparisons of each kind, at most."""
LEAST_EXAMPLES = 6
FULL_WINS = 0.5
LEAN = 0.2
"""How far P(first shown) between identical responses may be from ½ on average."""
LONGER_WINS = 0.9
FAILED = 0.2
TEXTS = (
    ("What is the capital of France?", "The capital of France is Paris."),
    ("How do I boil an egg?", "Put it into boiling water for eight minutes, then cool it under cold water."),
    ("Can you suggest a name for a cat?", "You could call it Miso. It is short and easy to hear."),
    ("Why is the sky blue?", "Air scatters blue light more than red light, so blue reaches us from all sides."),
    ("I slept badly. What can I do?", "I am sorry to hear that. A short walk in daylight and an early evening may help."),
    ("What is 12 times 12?", "12 times 12 is 144."),
    ("How do I thank a teacher?", "Write a short note that says what you learned and why it mattered to you."),
    ("Is it safe to eat mushrooms from the forest?", "Only if an expert has checked them: some are deadly and look harmless."),
)
ANSWERS = Principle("answers", "The response answers what was asked.")
PLAIN: list[tuple[Principle, tuple[Turn, ...], str]] = [
    (ANSWERS, (Turn(role="user", content=prompt),), text) for prompt, text in TEXTS
]
"""Asked where the constitution has few examples, whose better responses are in the user's own language and field."""


class Probe(NamedTuple):
    """A comparison whose first response is the better one (``longer``: the longer one; ``identical``: neither)."""

    kind: Kind
    asked: Asked


@dataclass
class Probed:
    """wins: by kind, comparisons that the first response wins. known: by kind, those with a verdict. flips: of examples
    and empty ones, those whose winner turns over with the order. first: Σ P(first shown) between identical responses. mass: Σ
    label mass. questions: of all comparisons; asked: those that the store did not answer, in ``seconds``. tokens: read and
    written for one. trouble: why there are failures; '' where there are none. per_pair: questions for a pair of a job, over all
    principles."""

    wins: Counter[str]
    known: Counter[str]
    flips: int
    first: float
    mass: float
    failed: int
    trouble: str
    questions: int
    asked: int
    tokens: float
    seconds: float
    per_pair: int

    @property
    def decided(self) -> int:
        """Comparisons with a verdict of which ``flips`` are some."""
        return sum(self.known[kind] for kind in DECIDED)

    @property
    def verdicts(self) -> int:
        return self.known.total()


def probe(config: CriticConfig) -> Probed:
    """Ask one critic. Raises UsageError for a configuration that cannot compare in both orders with one critic."""
    if config.mode != "compare" or config.orders != "both":
        raise UsageError("rlaif critic check compares in both orders: leave --mode and --orders out")
    if len(config.models) != 1:
        raise UsageError("rlaif critic check takes one critic; check each of a jury by itself")
    constitution, _ = config.inputs()
    engines = config.engines()
    with VerdictStore(config.store) as store:
        (critic,) = config.critics(engines, store)
        probes = list(_probes(critic.judge, constitution, random.Random(config.seed)))

        async def work() -> tuple[Replies, float]:
            try:
                started = time.monotonic()
                replies = await critic.ask(question for one in probes for question in one.asked.questions)
                return replies, time.monotonic() - started
            finally:
                await engines[0].close()

        replies, seconds = asyncio.run(work())
    return _read(critic, probes, replies, seconds)


def _probes(judge: Judge, constitution: Constitution, draw: random.Random) -> Iterator[Probe]:
    def compared(kind: Kind, principle: Principle, conversation: Sequence[Turn], first: str, second: str) -> Probe:
        return Probe(kind, judge.both_orders(principle, tuple(conversation), _said(first), _said(second)))

    every = list(known(constitution))
    examples = draw.sample(every, min(EACH, len(every)))
    for row in examples:
        better, worse = (row.responses[place].turns[0]["content"] for place in (row.better, 1 - row.better))
        yield compared("examples", row.principle, row.conversation, better, worse)
        elsewhere = [other.conversation for other in every if other.conversation != row.conversation]
        if elsewhere:
            yield compared("shuffled", row.principle, draw.choice(elsewhere), better, worse)
    own = [(row.principle, row.conversation, row.responses[row.better].turns[0]["content"]) for row in examples]
    for principle, conversation, text in own if len(own) >= len(PLAIN) else own + PLAIN:
        yield compared("identical", principle, conversation, text, text)
        yield compared("empty", principle, conversation, text, "")
        yield compared("longer", principle, conversation, f"{text} {text}", text)


def _read(critic: Critic, probes: Sequence[Probe], replies: Replies, seconds: float) -> Probed:
    wins, counted, reasons = Counter[str](), Counter[str](), Reasons()
    flips, first, mass, failed, tokens = 0, 0.0, 0.0, 0, 0
    for kind, asked in probes:
        verdict = critic.verdict(asked, replies)
        tokens += sum(replies.tokens(asked.questions))
        if isinstance(verdict, Failure):
            failed += 1
            reasons.add(verdict.reason, verdict.detail)
            continue
        assert isinstance(verdict, Comparison)
        gap = verdict.gap or 0.0
        counted[kind] += 1
        wins[kind] += verdict.p > 0.5
        mass += verdict.mass or 0.0
        if kind == "identical":
            first += 0.5 + gap / 2
        elif kind in DECIDED:
            flips += (verdict.p + gap / 2 - 0.5) * (verdict.p - gap / 2 - 0.5) < 0
    questions = sum(len(asked.questions) for _, asked in probes)
    principles = len(critic.judge.constitution.principles)
    return Probed(
        wins=wins,
        known=counted,
        flips=flips,
        first=first,
        mass=mass,
        failed=failed,
        trouble=reasons.commonest(len(probes), "comparisons"),
        questions=questions,
        asked=replies.asked,
        tokens=tokens / questions,
        seconds=seconds,
        per_pair=principles * len(probes[0].asked.questions),
    )


def findings(probed: Probed) -> list[Finding]:
    """Why the critic should not be asked; none where nothing speaks against it."""
    return list(_findings(probed))


def _findings(probed: Probed) -> Iterator[Finding]:
    wins, known = probed.wins, probed.known
    every = probed.verdicts + probed.failed
    if probed.failed > FAILED * every:
        yield Finding("fails", f"{probed.failed} of {every} comparisons have no verdict.", f"{probed.trouble}.")
    if not probed.verdicts:
        return
    flips = wilson(probed.flips, probed.decided)
    lean = probed.first / known["identical"] if known["identical"] else 0.5
    if flips.low > FLIPS or abs(lean - 0.5) > LEAN:
        yield Finding(
            "position decides",
            f"Position decides: {interval(flips)} of the verdicts turn over with the order, and of two identical responses the "
            f"one shown first is called better with a probability of {lean:.2f}.",
            "Take a stronger critic, or one that is trained to judge.",
        )
    right = wilson(wins["examples"], known["examples"])
    if known["examples"] >= LEAST_EXAMPLES and right.low <= 0.5:
        yield Finding(
            "at chance",
            f"On the constitution's own examples the critic is right in {interval(right)} of {known['examples']}, which is not "
            "more than chance.",
            "Take another critic, or see with `rlaif constitution test` which principles it cannot tell.",
        )
    if known["empty"] and wins["empty"] < FULL_WINS * known["empty"]:
        yield Finding(
            "empty wins",
            f"A plain answer beats an empty one in {percent(wins['empty'] / known['empty'])} of the comparisons only.",
            "The critic does not read the responses: do not use it.",
        )
    if known["longer"] and wins["longer"] > LONGER_WINS * known["longer"]:
        yield Finding(
            "length decides",
            f"An answer written twice beats the answer in {percent(wins['longer'] / known['longer'])} of the comparisons.",
            "What is trained on its verdicts will ramble: watch the lengths, or add a principle on brevity.",
        )
    if probed.mass < MASS * probed.verdicts:
        yield Finding(
            "label mass low",
            f"The labels hold {percent(probed.mass / probed.verdicts)} of the probability on average: the critic is about to "
            "say something else.",
            'Begin its answer in the prompt template (answer: "Answer:"), or take a model that follows instructions.',
        )


def _said(text: str) -> tuple[Turn, ...]:
    return (Turn(role="assistant", content=text),)
