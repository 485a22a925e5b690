"""What a training run did, in sentences, and what makes its model doubtful. Pure functions of its metrics and ``run.json``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlaif.evaluate.findings import Finding
from rlaif.report.curves import Metrics

FALLEN = 2.0
"""Standard errors below its best from which the second judge is said to have fallen."""
CUT, FAILED, WAITING, REPEATS = 0.1, 0.05, 0.5, 0.3
LONGER = 1.5
GAINED, KEPT_UP = 0.5, 0.1
"""Standard deviations: where the reward gained more than the first and the second judge less than the other, they part."""
WORSE = 1.05
"""The last held-out loss over the best, from which the rows are said to be learnt by heart."""


def story(run: Mapping[str, Any], metrics: Metrics) -> list[str]:
    """What happened, the most important first."""
    return [*_state(run), *(_on_policy(run, metrics) if "kl" in metrics or "heldout_kl" in metrics else _offline(metrics))]


def doubts(run: Mapping[str, Any], metrics: Metrics, warnings: Sequence[Mapping[str, Any]] = ()) -> list[Finding]:
    """What speaks against using the model, each with what to do."""
    on_policy = "kl" in metrics or "heldout_kl" in metrics
    return [*(_rl_doubts(run, metrics, warnings) if on_policy else _offline_doubts(metrics))]


def _state(run: Mapping[str, Any]) -> Iterator[str]:
    status = run.get("status")
    if status == "running":
        yield "The run goes on, or was killed: its command continues it."
    elif status in ("failed", "interrupted"):
        yield f"The run has not finished: {run.get('error') or status}. Its command continues it."
    if run.get("stopped"):
        yield f"The monitor ended the run at step {run.get('steps')}: {run['stopped']}."
    if run.get("model_of_step") is not None and run.get("model_of_step") != run.get("steps"):
        yield f"The model is the policy of step {run['model_of_step']}."


def _on_policy(run: Mapping[str, Any], metrics: Metrics) -> Iterator[str]:
    for name, what in (
        ("heldout_reward", "The reward on held-out prompts"),
        ("reward", "The reward on training prompts"),
        ("heldout_second_reward", "The second judge, which the policy is not trained on,"),
    ):
        if sentence := _went(what, metrics, name):
            yield sentence
    kl = _known(metrics, "heldout_kl") or _known(metrics, "kl")
    if kl:
        yield f"The policy is {kl[-1][1]:.3g} nats (KL per response) away from the reference policy."
    length = _known(metrics, "heldout_length") or _known(metrics, "length")
    if len(length) > 1:
        yield f"Responses had {length[0][1]:.3g} tokens at first and have {length[-1][1]:.3g} now."
    parts = {
        name: sum(value for _, value in _known(metrics, f"seconds_{name}")) for name in ("sampling", "waiting", "learning")
    }
    if total := sum(parts.values()):
        shares = {name: f"{part / total:.0%}" for name, part in parts.items()}
        told = "Of the time, {sampling} went into sampling, {waiting} into waiting for rewards, {learning} into learning."
        yield told.format(**shares)


def _offline(metrics: Metrics) -> Iterator[str]:
    for name, what in (
        ("eval_loss", "The loss on held-out rows"),
        ("loss", "The loss on training rows"),
        ("eval_accuracy", "The accuracy on held-out rows"),
    ):
        if sentence := _went(what, metrics, name, lower=name.endswith("loss")):
            yield sentence


def _rl_doubts(run: Mapping[str, Any], metrics: Metrics, warnings: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    second, reward = _known(metrics, "heldout_second_reward"), _known(metrics, "heldout_reward")
    fallen = _known(metrics, "monitor_fall_z")
    if fallen and fallen[-1][1] > FALLEN and not run.get("stopped"):
        yield Finding(
            "past its best",
            f"By {'the second judge' if second else 'the held-out reward'}, the policy is past its best, by "
            f"{fallen[-1][1]:.1f} standard errors.",
            "Take fewer steps, or a larger --beta.",
        )
    gains = [_gain(metrics, name) for name in ("heldout_reward", "heldout_second_reward")]
    if gains[0] is not None and gains[1] is not None and gains[0] > GAINED and gains[1] < KEPT_UP:
        yield Finding(
            "reward is gamed",
            f"The reward gained {gains[0]:.1f} standard deviations and the second judge {gains[1]:.1f}: what is learnt is how "
            "to please the reward.",
            "Read the samples below; take a better critic or reward model, a larger --beta, or fewer steps.",
        )
    if reward and not second:
        yield Finding(
            "no second judge",
            "No second judge looked on, so that a reward that is gamed looks like one that is earned.",
            "Give --second another critic, a reward model, or gold in the lab.",
        )
    yield from _text_doubts(metrics)
    failed = _known(metrics, "failed")
    if failed and _mean(failed) > FAILED:
        yield Finding(
            "rewards missing",
            f"{_mean(failed):.0%} of what the reward's source was asked has no verdict.",
            "run.json and the terminal say why; what has no reward is not learnt from.",
        )
    waiting = _known(metrics, "waiting")
    if waiting and _mean(waiting) > WAITING:
        yield Finding(
            "waiting", f"{_mean(waiting):.0%} of the time is spent waiting for rewards.", "Try --async 1, or a faster critic."
        )
    if warnings:
        many = f"{len(warnings)} time{'s' if len(warnings) > 1 else ''}"
        yield Finding(
            "warnings", f"The monitor warned {many}.", "The warnings are on the time line, and listed below the curves."
        )


def _text_doubts(metrics: Metrics) -> Iterator[Finding]:
    length = _known(metrics, "length")
    if len(length) > 1 and length[0][1] > 0 and not 1 / LONGER < length[-1][1] / length[0][1] < LONGER:
        times = length[-1][1] / length[0][1]
        yield Finding(
            "length",
            f"Responses are {times:.1f} times as long as at first.",
            "Is that wanted? A principle can say how long they should be.",
        )
    ended = _known(metrics, "ended")
    if ended and 1 - ended[-1][1] > CUT:
        yield Finding(
            "cut", f"{1 - ended[-1][1]:.0%} of the responses are cut at --max-tokens.", "Raise it, or give --eos-penalty."
        )
    distinct = _known(metrics, "monitor_distinct_2")
    if len(distinct) > 1 and distinct[0][1] > 0 and 1 - distinct[-1][1] / distinct[0][1] > REPEATS:
        lost = 1 - distinct[-1][1] / distinct[0][1]
        yield Finding(
            "less diverse",
            f"Responses have lost {lost:.0%} of their different pairs of words: they say the same to everybody.",
            "A larger --beta or an --entropy bonus keeps them apart.",
        )


def _offline_doubts(metrics: Metrics) -> Iterator[Finding]:
    held = _known(metrics, "eval_loss")
    if metrics and not held:
        yield Finding(
            "no held-out rows",
            "No rows were held out, so that nothing tells learning from learning by heart.",
            "Give --eval-fraction.",
        )
    if len(held) > 2 and min(held, key=lambda point: point[1])[1] > 0:
        step, best = min(held, key=lambda point: point[1])
        if held[-1][1] > WORSE * best:
            yield Finding(
                "learnt by heart",
                f"The held-out loss was lowest at step {step:g} ({best:.3g}) and ended at {held[-1][1]:.3g}.",
                "The model is that of the lowest; fewer --epochs or a lower --learning-rate would have done.",
            )


def _went(what: str, metrics: Metrics, name: str, lower: bool = False) -> str | None:
    known = _known(metrics, name)
    if len(known) < 2:
        return None
    first, last = known[0][1], known[-1][1]
    step, best = (min if lower else max)(known, key=lambda point: point[1])
    verb = "stayed at" if abs(last - first) < 5e-4 else "rose from" if last > first else "fell from"
    between = f"{first:.3f}" if verb == "stayed at" else f"{first:.3f} to {last:.3f}"
    also = "" if best in (first, last) else f" ({best:.3f} at its best, at step {step:g})"
    return f"{what} {verb} {between}{also}."


def _gain(metrics: Metrics, name: str) -> float | None:
    """In standard deviations of the first evaluation."""
    known, std = _known(metrics, name), _known(metrics, f"{name}_std")
    return (known[-1][1] - known[0][1]) / std[0][1] if len(known) > 1 and std and std[0][1] > 0 else None


def _known(metrics: Metrics, name: str) -> list[tuple[float, float]]:
    """(step, value) where there is a value."""
    return [(step, value) for step, value in zip(*metrics.get(name, ([], [])), strict=True) if value is not None]


def _mean(known: Sequence[tuple[float, float]]) -> float:
    return sum(value for _, value in known) / len(known)
