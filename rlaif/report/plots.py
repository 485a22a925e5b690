"""The report's plots, as inline SVG that takes the page's text colour."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlaif.evaluate import calibration
from rlaif.evaluate.judgement import SPREAD, Judgement
from rlaif.evaluate.overoptimisation import Curve, Floats

_INK = "#010203"
"""Drawn in this colour, which becomes ``currentColor``: one picture for the light page and the dark one."""
_BLUE, _ORANGE, _GREY = "#3b82c4", "#d9822b", "#8a8f98"


def reliability_plot(judgement: Judgement, name: str) -> str | None:
    """Accuracy against confidence with 95% intervals; None where there is no gold."""
    points = calibration.points(judgement.bins)
    if not points:
        return None
    figure, axes = _figure()
    axes.plot([0.5, 1.0], [0.5, 1.0], color=_GREY, linestyle="--", linewidth=1)
    x, y = [point.confidence for point in points], [point.accuracy.value for point in points]
    low = [max(0.0, point.accuracy.value - point.accuracy.low) for point in points]
    high = [max(0.0, point.accuracy.high - point.accuracy.value) for point in points]
    axes.errorbar(x, y, yerr=[low, high], color=_BLUE, marker="o", markersize=5, capsize=3, linewidth=1.5)
    axes.set(xlim=(0.48, 1.02), ylim=(-0.02, 1.02), xlabel=f"confidence ({name})", ylabel="share that agrees with gold")
    return _svg(figure, "reliability")


def histogram(judgement: Judgement) -> str | None:
    """How sure the preferences are; None where there are none."""
    counts = judgement.spread[SPREAD // 2 :].tolist()
    if not sum(counts):
        return None
    figure, axes = _figure()
    width = 1 / SPREAD
    axes.bar([0.5 + number * width for number in range(len(counts))], counts, width=width * 0.9, align="edge", color=_BLUE)
    axes.set(xlim=(0.5, 1.0), xlabel="p_chosen", ylabel="preferences")
    return _svg(figure, "histogram")


def gao_plot(points: Mapping[str, tuple[Floats, Floats, Curve]], stops: Sequence[float] = ()) -> str:
    """Rewards against √KL, each with its fitted curve and, dotted, the curve's peak. points: name to d [N], reward [N], curve.
    stops: the d at which runs were ended."""
    figure, axes = _figure()
    for (name, (d, reward, curve)), colour in zip(points.items(), (_BLUE, _ORANGE, _GREY), strict=False):
        along = np.linspace(0, float(np.nanmax(d)), 200)
        axes.plot(d, reward, ".", color=colour, markersize=4, alpha=0.6)
        axes.plot(along, curve.at(along), color=colour, linewidth=1.5, label=name)
        if curve.peak <= along[-1]:
            axes.axvline(curve.peak, color=colour, linestyle=":", linewidth=1)
    for stop in stops:
        axes.axvline(stop, ymax=0.06, color=_INK, linewidth=1)
    axes.set(xlabel="√KL from the initial policy", ylabel="reward gained")
    axes.legend(frameon=False, labelcolor=_INK)
    return _svg(figure, "gao")


def _figure() -> tuple[Any, Any]:
    # A Figure of its own, not pyplot: no display, no global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    axes.tick_params(colors=_INK)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    axes.grid(axis="y", color=_GREY, alpha=0.25)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Any, name: str) -> str:
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(_INK, "currentColor")
