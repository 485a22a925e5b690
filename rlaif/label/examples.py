"""A constitution's examples as a test of a critic: the labelling pipeline over nothing but known rows."""

from __future__ import annotations

import asyncio
from typing import Any

from rlaif.critic.examples import known
from rlaif.critic.store import VerdictStore
from rlaif.critic.templates import fitted
from rlaif.errors import UsageError
from rlaif.label.pipeline import Counts, Labeller, Sink
from rlaif.label.setup import LabelConfig, open_critics, open_engines, read_inputs


class _Records(list[dict[str, Any]]):
    def write(self, record: dict[str, Any]) -> None:
        self.append(record)


def judge_examples(config: LabelConfig) -> list[dict[str, Any]]:
    """The canary record of every example of ``config.constitution``; ``source`` and ``out`` play no part.

    Raises UsageError where there is no example.
    """
    constitution, template = read_inputs(config)
    rows = list(known(constitution))
    if not rows:
        raise UsageError(f"{config.constitution}: no principle has examples, so there is nothing to test a critic with")
    engines, _ = open_engines(config)
    template = fitted(template, engines)
    records = _Records()
    with VerdictStore(config.store) as store:
        critics = open_critics(config, constitution, template, engines, store)
        labeller = Labeller(critics)

        async def work() -> None:
            try:
                await labeller.run(rows, Sink(_Records(), _Records(), None, lambda counts: None, records), Counts())
            finally:
                for engine in engines:
                    await engine.close()

        asyncio.run(work())
    return list(records)
