"""What the server counts, for Prometheus. Each server has a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from rlaif.critic.verdict import Failure

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
SIZES = (1, 4, 16, 64, 128, 256, 512, 1024, 4096)


class Metrics:
    """waiting, under_way: questions in the queue, and with the critic, now. reloads: of constitutions, by outcome."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("rlaif_requests", "Requests, by path and status.", ["path", "status"], registry=registry)
        self._seconds = Histogram("rlaif_request_seconds", "Time of a request.", ["path"], buckets=SECONDS, registry=registry)
        self.waiting = Gauge("rlaif_queue_questions", "Questions that wait for the critic.", registry=registry)
        self.under_way = Gauge("rlaif_under_way_questions", "Questions that the critic has now.", registry=registry)
        self._sizes = Histogram("rlaif_batch_questions", "Questions of a batch.", buckets=SIZES, registry=registry)
        self._asked = Counter("rlaif_questions_asked", "Questions that a model answered.", registry=registry)
        self._stored = Counter("rlaif_questions_stored", "Questions that the verdict store answered.", registry=registry)
        self._verdicts = Counter("rlaif_verdicts", "Verdicts of principles.", ["constitution"], registry=registry)
        self._failures = Counter("rlaif_failures", "Verdicts that failed.", ["constitution", "reason"], registry=registry)
        self.missing = Counter("rlaif_rewards_missing", "Rewards without a verdict.", ["constitution"], registry=registry)
        self.reloads = Counter(
            "rlaif_constitution_reloads", "Edited constitutions.", ["constitution", "outcome"], registry=registry
        )

    def request(self, path: str, status: int, seconds: float) -> None:
        """A request that has ended. path: of the route, not what a client wrote: there may be any number of those."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def batch(self, size: int, asked: int) -> None:
        """A batch that was answered. asked: questions of it that went to a model."""
        self._sizes.observe(size)
        self._asked.inc(asked)
        self._stored.inc(max(0, size - asked))

    def verdict(self, constitution: str, verdict: object) -> None:
        """One principle's verdict, or its failure."""
        if isinstance(verdict, Failure):
            self._failures.labels(constitution, str(verdict.reason)).inc()
        else:
            self._verdicts.labels(constitution).inc()

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
