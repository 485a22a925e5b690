"""From a configuration to what a labelling run is made of: its inputs, its engines, its canaries."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator

from rlaif.constitution import Constitution
from rlaif.critic.config import CriticConfig, modes_with
from rlaif.critic.examples import Known, known
from rlaif.critic.modes import MODES
from rlaif.critic.pairs import ADAPTIVE, check_pairs
from rlaif.critic.templates import Template
from rlaif.data.rows import BadRow, Row
from rlaif.engines.base import Engine
from rlaif.errors import UsageError
from rlaif.label.config import LabelConfig
from rlaif.sample.config import SamplingConfig
from rlaif.sample.policy import PolicySampler


def read_inputs(config: LabelConfig) -> tuple[Constitution, Template]:
    """The constitution and the template that the run is about. Raises UsageError for settings that do not go together."""
    check_pairs(config.pairs)
    if config.pairs in ADAPTIVE and "rounds" not in MODES[config.critic.mode].settings:
        raise UsageError(f"--pairs {config.pairs} needs {modes_with('rounds')}")
    _check_requirements(config)
    return config.critic.inputs()


def _check_requirements(config: LabelConfig) -> None:
    """Raises UsageError for a requirement that cannot be read, or of which this run could say nothing."""
    if not config.require:
        return
    from rlaif.evaluate.findings import MEASURES
    from rlaif.evaluate.requirements import requirement

    mode, orders = MODES[config.critic.mode], config.critic.orders
    needed = {
        "flips": ("--orders both, in " + modes_with("orders"), "orders" in mode.settings and orders == "both"),
        "first": (modes_with("orders"), "orders" in mode.settings),
        "mass": (modes_with("min_mass"), "min_mass" in mode.settings),
        "canaries": ("--canaries N", config.canaries > 0),
    }
    for text in config.require:
        what, there = needed.get(requirement(text, MEASURES).name, ("", True))
        if not there:
            raise UsageError(f"--require {text!r} needs {what}")


def open_engines(
    critic: CriticConfig, policy: str | None, drawing: SamplingConfig
) -> tuple[list[Engine], PolicySampler | None]:
    """The critics', and the policy; a model that is both is opened once. On one GPU they share its memory."""
    if policy is None:
        return critic.engines(), None
    models = list(dict.fromkeys(critic.models))
    own = policy not in models or drawing.engine.context != critic.engine.context or drawing.generation_config != "neutral"
    engines = critic.engines(others=int(own))
    engine = drawing.open(policy, others=len(models)) if own else engines[models.index(policy)]
    return engines, PolicySampler(engine, drawing.sampling(critic.seed))


def draw_canaries(config: LabelConfig, constitution: Constitution) -> list[Known]:
    """As many known rows as were asked for and there are, drawn by the seed."""
    every = list(known(constitution))
    if config.canaries and not every:
        raise UsageError(f"--canaries: no principle of {config.critic.constitution} has examples")
    return random.Random(config.critic.seed).sample(every, min(config.canaries, len(every)))


def mixed_rows(rows: Iterator[Row | BadRow], canaries: list[Known], total: int | None) -> Iterator[Row | BadRow]:
    """The rows with the canaries spread over them, evenly where their number is known; the rest of the canaries at the end."""
    waiting = deque(canaries)
    apart = max(1, (total or 20 * len(canaries)) // max(1, len(canaries)))
    for number, row in enumerate(rows, 1):
        yield row
        if waiting and number % apart == 0:
            yield waiting.popleft()
    yield from waiting
