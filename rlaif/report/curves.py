"""A training run's ``metrics.jsonl`` as panels of curves. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from rlaif.errors import UsageError
from rlaif.evaluate.overoptimisation import Curve, Floats, fit

MOST = 1000
"""Points of one curve; where there are more, each is the mean of its neighbours."""
_PREFIXES = ("heldout_", "eval_")
_NO_CURVES = frozenset(
    "step epoch minibatches total_flos train_loss train_runtime train_samples_per_second train_steps_per_second".split()
)


class Series(NamedTuple):
    """style: line, dots or dashed. silent: whether it has no value of its own to tell (a fitted curve). colour: its number; by
    default one of its own."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    style: str = "line"
    silent: bool = False
    colour: int | None = None


@dataclass
class Panel:
    """marks: on the time line, as {x, text, kind}."""

    title: str
    series: list[Series]
    note: str = ""
    x: str = "step"
    stacked: bool = False
    marks: list[dict[str, Any]] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """As the page's script takes it."""
        return {**vars(self), "series": [one._asdict() for one in self.series]}


class Group(NamedTuple):
    """A panel to be made of metrics. names: each metric with what it is called; one that ends in ``/`` is all that begin so."""

    title: str
    names: Mapping[str, str]
    note: str = ""
    stacked: bool = False


_HELD = "held-out prompts"
_TRAINED = "training prompts"
ON_POLICY = (
    Group("Reward", {"reward": _TRAINED, "heldout_reward": _HELD}, "What the policy is trained on."),
    Group(
        "Second judge",
        {"heldout_second_reward": _HELD, "monitor_smoothed": "smoothed by the monitor"},
        "Another judge, or gold, on held-out prompts. The policy is not trained on it.",
    ),
    Group("KL from the reference policy", {"kl": _TRAINED, "heldout_kl": _HELD}, "Nats per response."),
    Group("Length", {"length": _TRAINED, "heldout_length": _HELD}, "Tokens per response."),
    Group(
        "Diversity",
        {
            "monitor_distinct_1": "distinct words",
            "monitor_distinct_2": "distinct pairs of words",
            "monitor_self_bleu": "self-BLEU",
            "monitor_boilerplate": "boilerplate",
        },
        "Higher is more diverse for the first two, lower for the others.",
    ),
    Group("Entropy", {"entropy": _TRAINED, "heldout_entropy": _HELD}, "Nats per token."),
    Group(
        "Time of a step",
        {"seconds_sampling": "sampling", "seconds_waiting": "waiting for rewards", "seconds_learning": "learning"},
        "Seconds, one on top of the other; with --async they overlap.",
        stacked=True,
    ),
    Group("Reward by principle", {"reward/principles/": "", "reward/": ""}),
    Group("Second judge by principle", {"heldout_second_reward/principles/": "", "heldout_second_reward/": ""}),
    Group(
        "Responses that ended by themselves", {"ended": _TRAINED, "heldout_ended": _HELD}, "The rest was cut at --max-tokens."
    ),
    Group("Rewards that are missing", {"failed": _TRAINED, "heldout_failed": _HELD}, "Share of what was asked."),
    Group("KL penalty", {"beta": "β"}),
)
OFFLINE = (
    Group("Loss", {"loss": "training rows", "eval_loss": "held-out rows"}),
    Group(
        "Accuracy", {"accuracy": "training rows", "eval_accuracy": "held-out rows"}, "Share of pairs in which chosen is ahead."
    ),
    Group("Margin", {"margin": "training rows", "eval_margin": "held-out rows"}, "By how much chosen is ahead."),
)
Metrics = Mapping[str, tuple[list[float], list[float | None]]]
"""By name: steps, and the value at each."""


def metrics_of(entries: Sequence[Mapping[str, Any]]) -> dict[str, tuple[list[float], list[float | None]]]:
    """The entries of ``metrics.jsonl`` by metric; what is no number at no step is left out."""
    found: dict[str, tuple[list[float], list[float | None]]] = {}
    for entry in entries:
        step = entry.get("step")
        if not isinstance(step, int | float):
            continue
        for name, value in entry.items():
            if name not in _NO_CURVES and (value is None or (isinstance(value, int | float) and not isinstance(value, bool))):
                steps, values = found.setdefault(name, ([], []))
                steps.append(step)
                values.append(value)
    return {name: column for name, column in found.items() if any(value is not None for value in column[1])}


def panels(metrics: Metrics, groups: Sequence[Group]) -> tuple[list[Panel], list[Panel]]:
    """Those of the groups, as far as there are such metrics and they move; and what is left: those that do not, and one for
    each metric that no group has, beside that of held-out rows or prompts."""
    taken: set[str] = set()
    grouped, others = list[Panel](), list[Panel]()
    for group in groups:
        names = {name: called for name, called in _matching(group, metrics).items() if name not in taken}
        taken |= names.keys()
        if names:
            series = [series_of(called, *metrics[name]) for name, called in names.items()]
            panel = Panel(group.title, series, group.note, stacked=group.stacked)
            (others if all(map(_constant, series)) else grouped).append(panel)
    rest: dict[str, list[Series]] = {}
    for name in metrics:
        if name not in taken:
            base = next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)
            rest.setdefault(base, []).append(series_of("training" if name == base else "held-out", *metrics[name]))
    return grouped, [*others, *(Panel(name, series) for name, series in rest.items())]


def series_of(name: str, steps: Sequence[float], values: Sequence[float | None], style: str = "line") -> Series:
    """At most ``MOST`` points."""
    if len(steps) <= MOST:
        return Series(name, list(steps), [_round(value) for value in values], style)
    x, y = np.array(steps, float), np.array(values, float)
    pieces = np.array_split(np.arange(len(x)), MOST)
    means = [np.nanmean(y[piece]) if not np.isnan(y[piece]).all() else None for piece in pieces]
    return Series(name, [float(x[piece].mean()) for piece in pieces], [_round(value) for value in means], style)


def gained(metrics: Metrics, name: str) -> tuple[Floats, Floats] | None:
    """√KL from the reference policy [N] and what a held-out reward gained since the first evaluation [N], in standard
    deviations of its values then (where that is known); None where there are no two evaluations."""
    if name not in metrics or "heldout_kl" not in metrics:
        return None
    kl = dict(zip(*metrics["heldout_kl"], strict=True))
    known = [
        (kl[step], value) for step, value in zip(*metrics[name], strict=True) if value is not None and kl.get(step) is not None
    ]
    if len(known) < 2:
        return None
    d, reward = np.sqrt(np.maximum(0.0, np.array([d for d, _ in known], float))), np.array([value for _, value in known], float)
    std = next((value for value in metrics.get(f"{name}_std", ([], []))[1] if value), 1.0)
    return d, (reward - reward[0]) / std


def against_kl(called: Mapping[str, tuple[Floats, Floats]]) -> Panel | None:
    """Rewards against √KL, each with the curve that is fitted to it (Gao et al. 2023). called: by name, √KL and the gain."""
    series: list[Series] = []
    for colour, (name, (d, reward)) in enumerate(called.items()):
        series.append(Series(name, d.tolist(), [_round(y) for y in reward], "dots", colour=colour))
        curve = _fitted(d, reward)
        if curve is not None:
            along = np.linspace(0.0, float(d.max()), 60)
            told = f"peak at {curve.peak:.2g}" if curve.peak <= along[-1] else "no peak yet"
            fitted = [_round(y) for y in curve.at(along)]
            series.append(Series(f"{name}: fitted, {told}", along.tolist(), fitted, "dashed", True, colour))
    note = (
        "In standard deviations of the first evaluation. Fitted: d (a − b log d), d = √KL; past its peak the reward is gamed."
    )
    return Panel("Reward gained against √KL", series, note, x="√KL") if series else None


def _fitted(d: Floats, reward: Floats) -> Curve | None:
    """None where the points are too few, or all in one place."""
    if len(d) < 4 or float(d.max()) <= 0:
        return None
    try:
        return fit(d, reward, start=0.0)
    except UsageError:
        return None


def _matching(group: Group, metrics: Metrics) -> dict[str, str]:
    """The group's metrics that there are, with what they are called."""
    found: dict[str, str] = {}
    for name, called in group.names.items():
        if name.endswith("/"):
            no_reward = f"{name}failed" if not name.endswith("principles/") else None
            found |= {
                each: each.removeprefix(name) for each in metrics if each.startswith(name) and each not in (*found, no_reward)
            }
        elif name in metrics:
            found[name] = called
    return found


def _constant(series: Series) -> bool:
    return len(set(series.y)) == 1 and len(series.y) > 1


def _round(value: float | None) -> float | None:
    """To six digits that count: more nobody sees."""
    return None if value is None or value != value else float(f"{value:.6g}")
