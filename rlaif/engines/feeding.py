"""vLLM's engine, fed while it runs: calls that are made at once share its steps, and none waits for another's end."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any

from rlaif.errors import RunFailed, warn


@dataclass(eq=False)
class _Job:
    """A call: its prompts and how each is answered. outputs: in their order, as they come. names: of those not answered."""

    inputs: Sequence[Any]
    params: Sequence[Any]
    future: Future[list[Any]] = field(default_factory=Future)
    outputs: list[Any] = field(default_factory=list)
    names: set[str] = field(default_factory=set)


class Feeder:
    """A thread of its own that hands requests to ``engine`` (a ``vllm.v1.engine.llm_engine.LLMEngine``) between its steps.

    Nothing else may use the engine meanwhile.
    """

    def __init__(self, engine: Any, name: str) -> None:
        self._engine = engine
        self._waiting: SimpleQueue[_Job | None] = SimpleQueue()
        self._flying: dict[str, tuple[_Job, int]] = {}
        self._jobs = set[_Job]()
        self._numbers = count()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def ask(self, inputs: Sequence[Any], params: Sequence[Any]) -> Future[list[Any]]:
        """The engine's last output for each input, in order. A future that is cancelled takes its requests back."""
        if self._closed:
            raise RuntimeError("the engine is closed")
        job = _Job(inputs, params, outputs=[None] * len(inputs))
        self._waiting.put(job)
        return job.future

    def close(self) -> None:
        """End the thread; calls that are under way are cancelled."""
        self._closed = True
        self._waiting.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while self._take():
            try:
                self._read(self._engine.step() if self._flying else ())
            except Exception as error:  # the engine is gone: so is all that it was asked
                for job in list(self._jobs):
                    self._end(job, RunFailed(f"vLLM has failed: {type(error).__name__} {error}"))

    def _read(self, outputs: Iterable[Any]) -> None:
        for output in outputs:
            if output.finished and output.request_id in self._flying:
                job, index = self._flying.pop(output.request_id)
                job.names.discard(output.request_id)
                job.outputs[index] = output
                if not job.names:
                    self._jobs.discard(job)
                    self._tell(job, job.outputs)

    def _take(self) -> bool:
        """Hand what is waiting to the engine, and take back what nobody waits for any more; False where all is to end."""
        for left in [job for job in self._jobs if job.future.cancelled()]:
            self._end(left, None)
        while True:
            try:
                job = self._waiting.get(block=not self._flying)
            except Empty:
                return True
            if job is None:
                for flying in list(self._jobs):
                    self._end(flying, None)
                return False
            self._start(job)

    def _start(self, job: _Job) -> None:
        if job.future.cancelled():
            return
        self._jobs.add(job)
        try:
            for index, (prompt, params) in enumerate(zip(job.inputs, job.params, strict=True)):
                name = f"ask-{next(self._numbers)}"
                self._engine.add_request(name, prompt, params)
                self._flying[name] = job, index
                job.names.add(name)
        except Exception as error:  # what the engine does not take concerns this call alone
            self._end(job, error)
            return
        if not job.names:
            self._jobs.discard(job)
            self._tell(job, job.outputs)

    def _end(self, job: _Job, error: Exception | None) -> None:
        """Take a job's requests back. error: what its caller is told; None where it is cancelled."""
        self._jobs.discard(job)
        for name in job.names:
            del self._flying[name]
        if job.names:
            try:
                self._engine.abort_request(list(job.names))
            except Exception as failed:  # an engine that is gone has nothing to take back
                warn(f"vLLM did not take back what is no longer asked: {failed}")
        job.names.clear()
        if error is None:
            job.future.cancel()
        else:
            self._tell(job, error=error)

    @staticmethod
    def _tell(job: _Job, outputs: list[Any] | None = None, error: Exception | None = None) -> None:
        """Give the caller its answer, unless it has left in between."""
        if not job.future.set_running_or_notify_cancel():
            return
        if error is None:
            job.future.set_result(outputs or [])
        else:
            job.future.set_exception(error)
