"""Requests of all clients wait here and go to the critic together, those about one prompt side by side.

While the engine is busy the queue fills, and what has come in meanwhile is its next batch: under load batches grow by
themselves, and a single client waits for nobody. An engine that answers in pieces (``Engine.piece``: a vLLM server) batches
requests itself and gets each batch at once; another one has at most ``AHEAD`` of them, so that it encodes one while it
computes another.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from rlaif.critic.ask import Replies
from rlaif.critic.jury import Jury, Plan
from rlaif.critic.store import key
from rlaif.serve.metrics import Metrics

BATCH_QUESTIONS = 512
"""Of one batch; a single request may be larger."""
AHEAD = 2
RECENT = 20
"""Batches from which the critic's speed is taken."""


class QueueFull(Exception):
    """wait: seconds after which there should be room again."""

    def __init__(self, wait: int) -> None:
        super().__init__(f"too much is waiting for the critic; try again in {wait} s")
        self.wait = wait


@dataclass(eq=False)
class _Waiting:
    """A request's plans. size: its questions. answer: given when the critic has answered all of them."""

    jury: Jury
    plans: list[Plan]
    size: int
    answer: asyncio.Future[Replies]


class Queue:
    """most: questions that may wait. eager: whether the engine takes any number of batches at once."""

    def __init__(self, most: int, eager: bool, metrics: Metrics) -> None:
        self.most = most
        self._ahead = math.inf if eager else AHEAD
        self._metrics = metrics
        self._waiting: dict[bytes, deque[_Waiting]] = {}
        self._questions = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._speeds: deque[tuple[int, float]] = deque(maxlen=RECENT)
        self._next: asyncio.Handle | None = None

    async def ask(self, jury: Jury, plans: Iterable[Plan]) -> Replies:
        """The critics' answers to ``plans``, asked together with what else waits.

        Raises QueueFull where too much does, and what the engine raises where it cannot go on.
        """
        plans = list(plans)
        size = sum(len(asked.questions) for plan in plans for by_critic in plan.by_critic for asked in by_critic)
        if not size:
            return Replies()
        if self._questions and self._questions + size > self.most:
            raise QueueFull(self.wait())
        waiting = _Waiting(jury, plans, size, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(_shared(jury, plans), deque()).append(waiting)
        self._count(size)
        self._soon()
        return await waiting.answer

    def wait(self) -> int:
        """Seconds until what waits should be answered, at the speed of the last batches; at least 1, at most 60."""
        asked, seconds = (sum(each) for each in zip(*self._speeds, strict=True)) if self._speeds else (0, 0.0)
        return max(1, min(60, math.ceil(self._questions * seconds / asked))) if asked else 1

    async def close(self) -> None:
        """Cancel what waits and what is under way."""
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for group in self._waiting.values():
            for waiting in group:
                waiting.answer.cancel()

    def _soon(self) -> None:
        """Form batches once this turn of the event loop has put all that it brought into the queue."""
        if self._next is None:
            self._next = asyncio.get_running_loop().call_soon(self._form)

    def _form(self) -> None:
        self._next = None
        while self._waiting and len(self._under_way) < self._ahead:
            batch = self._batch()
            if batch:
                task = asyncio.create_task(self._solve(batch))
                self._under_way.add(task)
                task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._soon()

    def _batch(self) -> list[_Waiting]:
        """The request that has waited longest, those that share its prompt, then the next, while they use one template."""
        batch: list[_Waiting] = []
        size, template = 0, None
        for prompt in list(self._waiting):
            group = self._waiting[prompt]
            if template is not None and group[0].jury.judge.template.digest != template:
                continue
            template = group[0].jury.judge.template.digest
            while group and (not batch or size + group[0].size <= BATCH_QUESTIONS):
                waiting = group.popleft()
                self._count(-waiting.size)
                if not waiting.answer.done():  # its client has gone
                    batch.append(waiting)
                    size += waiting.size
            if group:
                break
            del self._waiting[prompt]
        return batch

    async def _solve(self, batch: list[_Waiting]) -> None:
        """Ask for a batch. Where that fails each request is asked alone, so that none is spoilt by another's."""
        started, size = time.monotonic(), sum(waiting.size for waiting in batch)
        self._metrics.under_way.inc(size)
        try:
            replies = Replies()
            # By the first one's jury: the others have the same template and settings, and a question holds its own wording.
            await Jury.ask(batch[0].jury, [plan for waiting in batch for plan in waiting.plans], replies)
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.answer.cancel()
            raise
        except Exception as error:
            if len(batch) > 1:
                for waiting in batch:
                    await self._solve([waiting])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        finally:
            self._metrics.under_way.dec(size)
        self._speeds.append((size, time.monotonic() - started))
        self._metrics.batch(size, replies.asked)
        for waiting in batch:
            if not waiting.answer.done():
                waiting.answer.set_result(replies)

    def _count(self, size: int) -> None:
        self._questions += size
        self._metrics.waiting.set(self._questions)


@dataclass(frozen=True)
class QueuedJury(Jury):
    """A jury that is asked through the queue, together with all others."""

    queue: Queue = field(compare=False, repr=False, kw_only=True)

    async def ask(self, plans: Iterable[Plan], replies: Replies) -> None:
        replies.add(await self.queue.ask(self, plans))


def _shared(jury: Jury, plans: list[Plan]) -> bytes:
    """What a request's prompts begin with: the template and the conversation."""
    questions = (one for plan in plans for by_critic in plan.by_critic for asked in by_critic for one in asked.questions)
    return key(jury.judge.template.digest, next(questions).conversation)
