"""A reward of verifiers' (0.4, ``verifiers.v1``) and so of prime-rl's environments. A file of yours holds it::

    from rlaif.integrations.verifiers import reward

    constitution = reward("helpful-honest-harmless", "http://localhost:8000")

and a taskset's configuration plugs it in, for ``uv run eval``, ``vf`` and prime-rl alike::

    [taskset.task.rewards.constitution]
    fn = "judge.py:constitution"

verifiers scores each rollout by itself. Its missing value is a reward that was not scored: a verdict that fails is an error of
the rollout, which it tries again or leaves out, and never a number.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from rlaif.constitution.types import Constitution
from rlaif.errors import RunFailed
from rlaif.integrations.judged import Text
from rlaif.integrations.reward import ConstitutionReward


def reward(
    constitution: str | Path | Constitution | None = None, critic: str | Sequence[str] = (), **settings: Any
) -> Callable[[Any, Any], Awaitable[float]]:
    """A reward function of a task and its trace. Arguments: those of ``ConstitutionReward``.

    Each principle's value becomes a metric of the trace, ``constitution/principles/ID``. What a task's data holds besides
    verifiers' own fields reaches principles with ``when`` and the verifiers of a mix.
    """
    made = ConstitutionReward(constitution, critic, **settings)

    async def constitution_reward(task: Any, trace: Any) -> float:
        judged = await made.ajudge([_prompt(task)], [trace.last_reply], _columns(task))
        known = {f"constitution/{name}": held[0] for name, held in judged.columns.items() if held[0] is not None}
        trace.record_metrics(known)
        (value,) = judged.values
        if value is None:
            raise RunFailed(f"no verdict on the reply ({', '.join(judged.failures)}); it has no reward")
        return value

    return constitution_reward


def _prompt(task: Any) -> Text:
    system = [{"role": "system", "content": task.system_prompt}] if task.system_prompt else []
    if task.prompt is None or isinstance(task.prompt, str):
        return [*system, {"role": "user", "content": task.prompt or ""}]
    return [*system, *({"role": message.role, "content": _text(message.content)} for message in task.prompt)]


def _text(content: Any) -> str:
    """Of a message's content, its texts."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n\n".join(part.text for part in content if getattr(part, "text", None))


def _columns(task: Any) -> dict[str, list[Any]]:
    fields: list[dict[str, Any]] = [getattr(kind, "model_fields", {}) for kind in type(task).__mro__]
    base = [held for held in fields if "prompt" in held][-1]
    return {name: [getattr(task, name)] for name in sorted(fields[0].keys() - base.keys())}
