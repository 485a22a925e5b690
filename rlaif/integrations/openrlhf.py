"""OpenRLHF's reward function in a Python file (``--reward.remote_url FILE.py`` in 0.11, ``--remote_rm_url`` before)::

    from rlaif.integrations.openrlhf import reward_function

    reward_func = reward_function("helpful-honest-harmless", "http://localhost:8000", feedback="group")

OpenRLHF passes ``queries`` (prompt and response in one text), ``prompts`` and ``labels``, and reads ``rewards``, ``scores`` and
``extra_logs``. It checks missing rewards loosely, so that a failed verdict gets the mean of its prompt's other samples
(``filled``); ``extra_logs`` says which (``missing``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rlaif.constitution.types import Constitution
from rlaif.errors import UsageError
from rlaif.integrations.judged import filled
from rlaif.integrations.reward import ConstitutionReward


def reward_function(
    constitution: str | Path | Constitution | None = None, critic: str | Sequence[str] = (), **settings: Any
) -> Callable[..., dict[str, Any]]:
    """A ``reward_func`` for OpenRLHF. Arguments: those of ``ConstitutionReward``."""
    reward = ConstitutionReward(constitution, critic, **settings)

    def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any], **_: Any) -> dict[str, Any]:
        import torch

        answer = rewards(reward, queries, prompts, labels)
        logs = {name: torch.tensor(values) for name, values in answer["extra_logs"].items()}
        return {name: torch.tensor(answer[name]) for name in ("rewards", "scores")} | {"extra_logs": logs}

    return reward_func


def rewards(
    reward: ConstitutionReward, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any] = ()
) -> dict[str, Any]:
    """The answer of OpenRLHF's protocol, as plain numbers: ``rewards``, ``scores`` (the same, which its dynamic filtering
    reads) and ``extra_logs``, where a principle without a verdict is NaN.

    labels: the rows' reference answers, which verifiers of a mix find in the column ``answer``.

    Raises UsageError where a query does not begin with its prompt.
    """
    responses = []
    for number, (query, prompt) in enumerate(zip(queries, prompts, strict=True), 1):
        if not query.startswith(prompt):
            raise UsageError(f"query {number} does not begin with its prompt, so that nobody knows where the response is")
        responses.append(query.removeprefix(prompt))
    columns = {"answer": list(labels)} if labels and any(label is not None for label in labels) else {}
    judged = reward.judge(prompts, responses, columns, groups=prompts)
    values = filled(judged.values, prompts)
    logs = {name: [float("nan") if value is None else value for value in held] for name, held in judged.columns.items()}
    logs["missing"] = [float(value is None) for value in judged.values]
    return {"rewards": values, "scores": values, "extra_logs": logs}
