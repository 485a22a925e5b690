"""What ``benchmarks/rl_gpu.py`` measured, as a page."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.lab_grid import table

WARM = 2
"""Steps at the beginning that are not counted."""
SECONDS = ("sampling", "waiting", "learning")
MOMENTS = ("sync", "sampler sleeps", "sampler wakes", "critic sleeps", "critic wakes")
PHASES = ("sampling", "looking", "policy", "value net")


def page(stages: Mapping[str, Mapping[str, Any]]) -> str:
    """The Markdown. stages: by name, as ``measure`` gave them."""
    devices = {found["device"] for found in stages.values()}
    on_gpu = all("CPU" not in device for device in devices)
    said = (
        "**Not run on a GPU yet: none was lent.** What stands here shows that the stages work; its seconds are of a CPU that\n"
    )
    said = "" if on_gpu else f"{said}others used too. "
    tried = "narrow models, as `--small` makes them; " if any(found["small"] for found in stages.values()) else ""
    versions = sorted({found["versions"] for found in stages.values()})
    return f"""# The loop on a GPU

    for stage in {" ".join(stages)}; do python -m benchmarks.rl_gpu --stage $stage{"" if on_gpu else " --small"}; done

{said}On {", ".join(sorted(devices))}; {tried}bfloat16, {", ".join(versions)}.
Medians over the steps after the first {WARM}.

{table(_SPEED_HEAD, [_speed(name, found) for name, found in stages.items()])}

Seconds that a sync of the weights takes, and vLLM's sleep and wake; a dash is where the run has none.

{table(["", *MOMENTS], [_moments(name, found) for name, found in stages.items()])}

## Memory by phase

MiB planned / MiB that PyTorch handed out on top of what is always held. vLLM's own is in the plan where it is awake, and not in
what PyTorch hands out: with the vLLM sampler, `sampling` is the plan alone.

{table(["", "tokens a pass", "always", *PHASES], [_memory(name, found) for name, found in stages.items()])}
"""


_SPEED_HEAD = ["", "method", "parameters", "responses", "sampler", "s / step", *SECONDS, "tokens/s", "mismatch"]


def _speed(name: str, found: Mapping[str, Any]) -> list[str]:
    steps = [step for step in found["steps"] if step["step"] > WARM] or found["steps"]
    seconds = [f"{median(step[f'seconds_{phase}'] for step in steps):.2f}" for phase in SECONDS]
    speed = median(step["length"] * found["drawn"] / step["seconds"] for step in steps)
    whole = f"{median(step['seconds'] for step in steps):.2f}"
    mismatch = f"{median(step['mismatch'] for step in steps):.1e}"
    about = [found["method"], f"{found['parameters'] / 1e6:,.1f} M", found["responses"], found["sampler"]]
    return [name, *about, whole, *seconds, f"{speed:,.0f}", mismatch]


def _moments(name: str, found: Mapping[str, Any]) -> list[str]:
    seconds = found["watched"]["seconds"]
    return [name, *(f"{seconds[moment]:.2f}" if moment in seconds else "–" for moment in MOMENTS)]


def _memory(name: str, found: Mapping[str, Any]) -> list[str]:
    planned, held = found["planned"], {**found["watched"]["bytes"], "always": found["watched"]["always"]}
    return [name, f"{found['tokens']:,}", *(_both(planned.get(phase), held.get(phase)) for phase in ("always", *PHASES))]


def _both(planned: int | None, held: int | None) -> str:
    if planned is None:
        return "–"
    return f"{planned / 2**20:,.0f} / " + (f"{held / 2**20:,.0f}" if held else "–")
