"""When the monitor warns and when it stops a run: the defaults, and a YAML file in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rlaif.yaml_file import read_settings, settle

SCHEMA = Path(__file__).with_name("limits.schema.json")


class Limit(NamedTuple):
    """Above ``warn`` the run is warned about, above ``stop`` it ends; None is never."""

    warn: float | None
    stop: float | None


LIMITS: Mapping[str, Limit] = {
    "length": Limit(2.0, 4.0),
    "unended": Limit(0.1, 0.5),
    "cut": Limit(0.5, None),
    "repetition": Limit(0.6, 0.9),
    "self-bleu": Limit(0.95, 0.995),
    "boilerplate": Limit(0.3, 0.7),
    "saturation": Limit(0.8, 0.98),
    "collapse": Limit(0.5, 2.0),
    "spread": Limit(1.5, 4.0),
    "failures": Limit(0.05, 0.5),
    "waiting": Limit(0.5, None),
    "second-collapse": Limit(0.25, 2.0),
}
"""Measures, by what they are of. The baseline is the run's first iteration, which the reference policy wrote.

length: mean tokens, over the baseline or the baseline over it, whichever is larger. unended: share of responses cut by the
limit, less the baseline's. cut: that share itself. repetition: share of the baseline's distinct-2 that is lost. self-bleu.
boilerplate: chance that an n-gram is shared with another prompt's response, less the baseline's. saturation: share of the
baseline's standard deviation of rewards that is lost. collapse: the most that any principle has lost, in standard deviations
of its baseline. spread: of a reward model's ensemble, over the baseline. failures: share of verdicts. waiting: share of time
spent waiting for rewards. second-collapse: as collapse, of the second judge's principles on held-out prompts.
"""


@dataclass(frozen=True)
class FallRule:
    """The run is over when the second judge's mean over ``window`` evaluations is below its best by more than ``z`` standard
    errors and by more than ``share`` of the gain, ``times`` evaluations in a row. The values come from simulated curves
    (tests/rl/test_peak.py): of healthy runs with 40 evaluations, about one in fifty is stopped."""

    window: int = 3
    z: float = 3.5
    share: float = 0.05
    times: int = 2


@dataclass(frozen=True)
class Limits:
    """patience: iterations in a row that a measure must be past its stop limit."""

    limits: Mapping[str, Limit] = field(default_factory=lambda: LIMITS)
    patience: int = 3
    fall: FallRule = FallRule()


def load_limits(path: Path | None, accelerator: bool = True) -> Limits:
    """The defaults, with what the file says in their place.

    accelerator: whether the run has one; on a CPU nothing stands idle while it waits for rewards, so no warning says so.

    Raises UsageError with one line per problem, each ``file:line:column: key: found …; allowed: …``.
    """
    defaults = LIMITS if accelerator else {**LIMITS, "waiting": Limit(None, None)}
    if path is None:
        return Limits(defaults)
    source = read_settings(path, SCHEMA, "file of limits", "one of patience, limits, fall")
    settle(source)
    data = source.data
    own = {name: defaults[name]._replace(**limit) for name, limit in data.get("limits", {}).items()}
    return Limits({**defaults, **own}, data.get("patience", Limits().patience), FallRule(**data.get("fall", {})))
