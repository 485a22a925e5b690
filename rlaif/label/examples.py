"""A constitution's examples as a test of a critic: the labelling pipeline over nothing but known rows."""

from __future__ import annotations

from typing import TypeVar

from rlaif import loops
from rlaif.critic.config import CriticConfig
from rlaif.critic.examples import known
from rlaif.critic.store import VerdictStore
from rlaif.data.records import CanaryRecord
from rlaif.errors import UsageError
from rlaif.label.pipeline import Counts, Labeller, Sink

R = TypeVar("R")


class _Records(list[R]):
    def write(self, record: R) -> None:
        self.append(record)


def judge_examples(config: CriticConfig) -> list[CanaryRecord]:
    """The canary record of every example of the critic's constitution. Raises UsageError where there is no example."""
    constitution, _ = config.inputs()
    rows = list(known(constitution))
    if not rows:
        raise UsageError(f"{config.constitution}: no principle has examples, so there is nothing to test a critic with")
    engines = config.engines()
    records = _Records[CanaryRecord]()
    with VerdictStore(config.store) as store:
        labeller = Labeller(config.critics(engines, store))

        async def work() -> None:
            try:
                await labeller.run(rows, Sink(_Records(), _Records(), None, lambda counts: None, records), Counts())
            finally:
                for engine in engines:
                    await engine.close()

        loops.run(work())
    return list(records)
