"""From the flags of ``rlaif label`` to what a run is made of: constitution, template, critics, canaries."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlaif.constitution import Constitution
from rlaif.constitution.load import load_constitution
from rlaif.constitution.types import Aggregate
from rlaif.critic.ask import Critic
from rlaif.critic.examples import Known, known
from rlaif.critic.judge import REASONS, Judge
from rlaif.critic.modes import MODES
from rlaif.critic.modes.base import Mode, Orders
from rlaif.critic.pairs import ADAPTIVE, check_pairs
from rlaif.critic.store import VerdictStore
from rlaif.critic.templates import Template, load_template
from rlaif.critic.verdict import MIN_MASS
from rlaif.data.exports import EXPORTS
from rlaif.data.rows import BadRow, Row
from rlaif.engines import open_engine
from rlaif.engines.base import Engine, Sampling
from rlaif.engines.open import Backend, Dtype
from rlaif.errors import UsageError
from rlaif.sample.policy import Policy


@dataclass(frozen=True)
class LabelConfig:
    """What the user asked for; the fields are the flags of ``rlaif label``. jury: critics besides ``critic``."""

    source: str
    constitution: Path
    critic: str
    out: Path
    mode: str = "compare"
    store: Path = Path("runs/verdicts.sqlite")
    prompts: Path | None = None
    pairs: str = "all"
    orders: Orders = "both"
    aggregate: Aggregate | None = None
    limit: int | None = None
    seed: int = 0
    min_mass: float = MIN_MASS
    max_failure_rate: float = 0.2
    jury: tuple[str, ...] = ()
    shots: int = 0
    reasons: bool = False
    reasons_tokens: int = REASONS.max_tokens
    clamp: tuple[float, float] | None = None
    votes: int = 1
    votes_temperature: float = 0.7
    canaries: int = 0
    export: tuple[str, ...] = ()
    engine: Backend = "auto"
    dtype: Dtype = "auto"
    context: int | None = None
    tokenizer: str | None = None
    trust_remote_code: bool = False
    gpu_memory: float | None = None
    policy: str | None = None
    samples: int = 2
    temperature: float = 1.0
    max_tokens: int = 256
    overwrite: bool = False


def read_inputs(config: LabelConfig) -> tuple[Constitution, Template]:
    """The constitution and the template that the run is about. Raises UsageError for flags that do not go together."""
    check_pairs(config.pairs)
    unknown = set(config.export) - set(EXPORTS)
    if unknown:
        raise UsageError(f"--export {unknown.pop()}: expected one of {', '.join(EXPORTS)}")
    mode: Mode[Any] = MODES[config.mode]
    form = mode.reasons if config.reasons else mode.form
    if form is None:
        raise UsageError(f"--reasons needs {_modes('reasons')}")
    for flag, given, setting in (
        ("--shots", bool(config.shots), "shots"),
        (f"--pairs {config.pairs}", config.pairs in ADAPTIVE, "rounds"),
        (f"--orders {config.orders}", config.orders != LabelConfig.orders, "orders"),
        ("--min-mass", config.min_mass != LabelConfig.min_mass, "min_mass"),
    ):
        if given and setting not in mode.settings:
            raise UsageError(f"{flag} needs {_modes(setting)}")
    for flag, used, needed, having in (
        ("--shots", config.shots, "no --reasons: examples come without any", not config.reasons),
        ("--reasons-tokens", config.reasons_tokens != LabelConfig.reasons_tokens, "--reasons", config.reasons),
        (
            "--votes-temperature",
            config.votes_temperature != LabelConfig.votes_temperature,
            "--votes 2 or more",
            config.votes > 1,
        ),
        ("--votes", config.votes > 1, "--reasons: without them every vote is the same", config.reasons),
        ("--votes", config.votes > 1, "--votes-temperature above 0", config.votes_temperature > 0),
        ("--clamp", config.clamp, "--reasons: other labels are sure of themselves with cause", config.reasons),
    ):
        if used and not having:
            raise UsageError(f"{flag} needs {needed}")
    low, high = config.clamp or (0.0, 1.0)
    if not (0 <= low < 0.5 and abs(low + high - 1) < 1e-9):
        raise UsageError(
            f"--clamp {low:g} {high:g}: expected two that sum to 1, such as .4 .6: which response is first is chance"
        )
    template = load_template(form, config.prompts)
    constitution = load_constitution(config.constitution)
    if config.shots and not any(principle.examples for principle in constitution.principles):
        raise UsageError(f"--shots: no principle of {config.constitution} has examples")
    return constitution, template


def _modes(setting: str) -> str:
    """The modes that a setting is meant for, as the user names them."""
    meant = [name for name, mode in MODES.items() if setting in mode.settings or (setting == "reasons" and mode.reasons)]
    return f"--mode {' or '.join(meant)}"


def open_engines(config: LabelConfig) -> tuple[list[Engine], Policy | None]:
    """The critics', and the policy. On one GPU they share its memory."""
    names = list(dict.fromkeys([config.critic, *config.jury]))
    models = len({*names, config.policy} - {None})
    options: dict[str, Any] = {
        "gpu_memory": config.gpu_memory or 0.9 / models,
        "backend": config.engine,
        "dtype": config.dtype,
        "context": config.context,
        "trust_remote_code": config.trust_remote_code,
    }
    by_name = {name: open_engine(name, tokenizer=config.tokenizer, **options) for name in names}
    if config.policy is None:
        return list(by_name.values()), None
    sampling = Sampling(max_tokens=config.max_tokens, temperature=config.temperature, n=config.samples, seed=config.seed)
    policy = by_name.get(config.policy) or open_engine(config.policy, **options)
    return list(by_name.values()), Policy(policy, sampling)


def make_judge(config: LabelConfig, constitution: Constitution, template: Template, identity: str) -> Judge:
    """Asks and reads by the run's settings. identity: of the critic's engine."""
    temperature = config.votes_temperature if config.votes > 1 else 0.0
    return Judge(
        constitution,
        template,
        identity,
        config.aggregate or constitution.aggregate,
        config.orders,
        config.min_mass,
        config.seed,
        shots=config.shots,
        reasons=Sampling(max_tokens=config.reasons_tokens, temperature=temperature, seed=config.seed),
        votes=config.votes,
        clamp=config.clamp or (0.0, 1.0),
    )


def open_critics(
    config: LabelConfig, constitution: Constitution, template: Template, engines: Sequence[Engine], store: VerdictStore
) -> tuple[Critic, ...]:
    """One for each engine, all asked alike."""
    return tuple(Critic(engine, make_judge(config, constitution, template, engine.identity), store) for engine in engines)


def draw_canaries(config: LabelConfig, constitution: Constitution) -> list[Known]:
    """As many known rows as were asked for and there are, drawn by the seed."""
    every = list(known(constitution))
    if config.canaries and not every:
        raise UsageError(f"--canaries: no principle of {config.constitution} has examples")
    return random.Random(config.seed).sample(every, min(config.canaries, len(every)))


def mixed_rows(rows: Iterator[Row | BadRow], canaries: list[Known], total: int | None) -> Iterator[Row | BadRow]:
    """The rows with the canaries spread over them, evenly where their number is known; the rest of the canaries at the end."""
    waiting = deque(canaries)
    apart = max(1, (total or 20 * len(canaries)) // max(1, len(canaries)))
    for number, row in enumerate(rows, 1):
        yield row
        if waiting and number % apart == 0:
            yield waiting.popleft()
    yield from waiting
