"""``rlaif label --batch``: all that a run would ask is handed to the provider's batch API first, then read from the store.

``batches.json`` in the run's folder names every batch before it is handed in, so that a run that was killed at any moment goes
on with the batches that it has, and pays for none twice.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rlaif.critic.ask import Critic
from rlaif.critic.config import CriticConfig
from rlaif.critic.judge import Question, in_cache_order
from rlaif.critic.modes import MODES
from rlaif.critic.pairs import ADAPTIVE
from rlaif.critic.stored import Answer, checked
from rlaif.data.rows import BadRow, Row
from rlaif.data.write import atomic_write, dumps
from rlaif.engines import replies
from rlaif.engines.base import Choice, Engine, Failure, FailureReason, Generation, Prompt, Sampling
from rlaif.engines.batches import HALF, MOST, MOST_BYTES, PROVIDERS, Batches, Item, Result, wait_for
from rlaif.engines.messages import all_of, as_messages
from rlaif.engines.problem import Problem, read_reply
from rlaif.engines.spending import Meter, Price
from rlaif.errors import RunFailed, UsageError
from rlaif.label.config import LabelConfig
from rlaif.label.pipeline import Labeller, PlannedRow
from rlaif.progress import Progress

NAME = "batches.json"
ATTEMPTS = 2
"""Batches that a question is put into; what is expired or fails in both is a failure of this run, and of no other."""


@dataclass
class Batch:
    """mark: what names it before it has an id. keys: of its questions. at: when it was about to be handed in."""

    mark: str
    keys: list[str]
    draws: int
    at: float
    id: str | None = None
    fetched: bool = False


@dataclass
class Handed:
    """A run's batches. Each change is on the disk before what follows from it is done."""

    path: Path
    batches: list[Batch] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path) -> Handed:
        path = folder / NAME
        if not path.is_file():
            return cls(path)
        return cls(path, [Batch(**each) for each in json.loads(path.read_text(encoding="utf-8"))])

    def keep(self) -> None:
        with atomic_write(self.path) as file:
            file.write(dumps([asdict(batch) for batch in self.batches]) + "\n")

    @property
    def open(self) -> list[Batch]:
        return [batch for batch in self.batches if not batch.fetched]


class AnsweredEngine:
    """In the engine's place once its batches are in: what is not in the store has no answer, and nothing is asked. why: by key
    of the prompt's text."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.identity, self.notes = engine.identity, (*engine.notes, "the critic was asked through its provider's batch API")
        self.meter: Meter | None = getattr(engine, "meter", None)
        self.why: dict[str, str] = {}

    def check_choices(self, choices: Sequence[str]) -> None:
        self._engine.check_choices(choices)

    def count_tokens(self, prompt: Prompt) -> int:
        return self._engine.count_tokens(prompt)

    async def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> list[Choice | Failure]:
        return [self._failure(prompt) for prompt in prompts]

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Generation] | Failure]:
        return [self._failure(prompt) for prompt in prompts]

    async def close(self) -> None:
        await self._engine.close()

    def _failure(self, prompt: Prompt) -> Failure:
        return Failure(FailureReason.ENGINE_ERROR, self.why.get(_digest(prompt), "no batch has an answer"))


def check_batch(config: LabelConfig) -> None:
    """Raises UsageError where not all can be asked at once."""
    critic = config.critic
    for name, used in (
        ("--reasons", critic.reasons),
        ("--thinking", critic.thinking > 0),
        ("--policy", config.policy is not None),
        (f"--pairs {config.pairs}", config.pairs in ADAPTIVE),
    ):
        if config.batch and used:
            raise UsageError(f"--batch asks all at once, and {name} asks by what was answered before: leave one of them out")


def batched(engines: Sequence[Engine], critic: CriticConfig) -> tuple[Batches, AnsweredEngine]:
    """The provider's batches, and the engine that stands in for it; its price is half.

    Raises UsageError where there is no batch API for the critic.
    """
    found = getattr(engines[0], "batch", None)
    if len(engines) > 1 or found is None or found[0] not in PROVIDERS:
        raise UsageError("--batch needs one critic of OpenAI or Anthropic, such as litellm:openai/gpt-4o")
    by_logprobs = critic.labels == "logprobs" and "min_mass" in MODES[critic.mode].settings
    if by_logprobs and not PROVIDERS[found[0]].logprobs:
        raise UsageError(f"{engines[0].identity} gives no log-probabilities; {replies.NO_LOGPROBS}")
    stand_in = AnsweredEngine(engines[0])
    if stand_in.meter and stand_in.meter.price:
        stand_in.meter.price = Price(*(HALF * value for value in stand_in.meter.price))
    return PROVIDERS[found[0]](found[1]), stand_in


def answer_in_batches(
    labeller: Labeller, rows: Iterable[Row | BadRow], provider: Batches, engine: AnsweredEngine, out: Path, progress: Progress
) -> None:
    """Have everything answered that the store has not, into the store. rows: read once.

    Raises RunFailed where the provider does not answer, or --max-cost does not allow what is left; the same command continues.
    """
    critic = labeller.critics[0]
    questions = {question.key.hex(): question for question in _questions(labeller, rows)}
    handed = Handed.of(out)
    for batch in handed.open:  # of an earlier start
        if batch.id is None:
            batch.id = provider.find(batch.mark, _names(batch.keys, batch.draws), batch.at)
            batch.fetched = batch.id is None  # it was never handed in
            handed.keep()
    for attempt in range(ATTEMPTS):
        waiting = {key for batch in handed.open for key in batch.keys}
        stored = critic.store.get([question.key for question in questions.values()])
        missing = [each for key, each in questions.items() if each.key not in stored and key not in waiting]
        for part in _parts(critic, missing, provider):
            _hand_in(critic, part, provider, handed, engine, f"{attempt} {len(handed.batches)}")
        if not handed.open:
            return
        progress.stage("batch", sum(len(batch.keys) for batch in handed.open), 0)
        for batch in handed.open:
            try:
                _fetch(critic, batch, provider, questions, engine, progress)
            finally:
                handed.keep()


def _questions(labeller: Labeller, rows: Iterable[Row | BadRow]) -> Iterator[Question]:
    for row in rows:
        planned = labeller.plan(row)
        if isinstance(planned, PlannedRow):
            for plan in planned.plans:
                yield from in_cache_order(plan.by_critic[0])


def _parts(critic: Critic, questions: Sequence[Question], provider: Batches) -> Iterator[dict[str, list[Item]]]:
    """The items of each batch, by question."""
    part: dict[str, list[Item]] = {}
    many = size = 0
    for question in questions:
        items = _items(critic, question, provider)
        length = sum(len(json.dumps(item.body)) for item in items)
        if part and (many + len(items) > MOST or size + length > MOST_BYTES):
            yield part
            part, many, size = {}, 0, 0
        part[question.key.hex()] = items
        many, size = many + len(items), size + length
    if part:
        yield part


def _items(critic: Critic, question: Question, provider: Batches) -> list[Item]:
    prompt, drawn = critic.judge.prompt(question), _drawn(critic, question)
    body: dict[str, Any] = {"messages": as_messages(prompt)}
    if drawn is None:
        labels = {"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": 20}
        return [Item(name, {**body, **labels}) for name in _names([question.key.hex()], 1)]
    body |= {"max_tokens": drawn.max_tokens, "temperature": drawn.temperature}
    seed = drawn.seed_for(prompt)
    if provider.draws:
        return [Item(name, {**body, "n": drawn.n, "seed": seed}) for name in _names([question.key.hex()], 1)]
    return [Item(name, body) for name in _names([question.key.hex()], drawn.n)]


def _drawn(critic: Critic, question: Question) -> Sampling | None:
    """How the answer's texts are drawn; None where labels are read from log-probabilities."""
    written = critic.judge.mode.drawing(len(question.responses))
    return critic.judge.drawing(question) if written else critic.judge.sampled


def _names(keys: Sequence[str], draws: int) -> list[str]:
    return [f"{key}-{draw}" for key in keys for draw in range(draws)]


def _hand_in(
    critic: Critic, part: dict[str, list[Item]], provider: Batches, handed: Handed, engine: AnsweredEngine, salt: str
) -> None:
    items = [item for each in part.values() for item in each]
    _check_money(items, engine)
    mark = hashlib.sha256(" ".join([salt, *part]).encode()).hexdigest()[:32]
    batch = Batch(mark, list(part), len(next(iter(part.values()))), time.time())
    handed.batches.append(batch)
    handed.keep()
    batch.id = provider.submit(items, mark)
    handed.keep()


def _check_money(items: Sequence[Item], engine: AnsweredEngine) -> None:
    """A batch is paid for as a whole: raises RunFailed where it may cost more than --max-cost leaves."""
    meter = engine.meter
    if meter is None or meter.budget is None or meter.budget.limit is None or meter.price is None:
        return
    read = sum(len(message["content"]) for item in items for message in item.body["messages"]) / 4
    dollars = meter.price.of(read, sum(item.body.get("n", 1) for item in items))
    if meter.budget.spent + dollars > meter.budget.limit:
        raise RunFailed(
            f"--max-cost {meter.budget.limit:g}: ${meter.budget.spent:.4f} are spent, and the next batch of {len(items):,} "
            f"requests costs about ${dollars:.4f}; the same command with a larger --max-cost continues"
        )


def _fetch(
    critic: Critic,
    batch: Batch,
    provider: Batches,
    questions: dict[str, Question],
    engine: AnsweredEngine,
    progress: Progress,
) -> None:
    """Wait for the batch, and keep its answers."""
    assert batch.id
    id = batch.id

    def done() -> bool:
        standing = provider.standing(id)
        if standing.wrong:
            batch.fetched = True  # it is over; the next start hands the questions in again
            raise RunFailed(f"the batch {id} failed: {standing.wrong}")
        progress.update(standing.answered // batch.draws, {})
        return standing.done

    wait_for(done)
    replied: dict[str, dict[str, Result]] = {}
    for result in provider.results(id):
        replied.setdefault(result.name.rpartition("-")[0], {})[result.name] = result
    for key in batch.keys:
        if key not in questions:  # the rows or the constitution changed since
            continue
        given, names = replied.get(key, {}), _names([key], batch.draws)
        drawn = [given.get(name, Result(name, wrong="the batch has no result")) for name in names]
        answer = _answer(critic, questions[key], drawn, engine.meter)
        critic.store.put([(questions[key].key, checked(answer))])
        if isinstance(answer, Failure):
            engine.why[_digest(critic.judge.prompt(questions[key]))] = answer.detail
    batch.fetched = True


def _answer(critic: Critic, question: Question, drawn: Sequence[Result], meter: Meter | None) -> Answer:
    """What the results of a question's requests say."""
    sampling, choices = _drawn(critic, question), critic.judge.template.choices
    n = sampling.n // len(drawn) if sampling else 1

    def read(content: dict[str, Any]) -> Choice | list[Generation] | Failure:
        if meter:
            meter.count(content)
        (said,) = replies.choices_of(content, 1, n)
        tokens = replies.prompt_tokens(content)
        return all_of([replies.written(one, tokens) for one in said]) if sampling else replies.listed(said[0], choices, tokens)

    answers: list[Answer] = []
    for result in drawn:
        if result.wrong:
            return Failure(FailureReason.ENGINE_ERROR, result.wrong)
        reply = read_reply(result.status, {}, json.dumps(result.content).encode(), read)
        answers.append(reply.failure if isinstance(reply, Problem) else reply)
    failed = next((answer for answer in answers if isinstance(answer, Failure)), None)
    if failed or not sampling:
        return failed or answers[0]
    return [text for answer in answers if isinstance(answer, list) for text in answer]


def _digest(prompt: Prompt) -> str:
    return hashlib.sha256(repr(prompt).encode("utf-8", "surrogatepass")).hexdigest()
