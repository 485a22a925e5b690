"""verl's ``custom_reward_function``: name this file and one of its functions, and give settings as ``reward_kwargs``::

    custom_reward_function.path=$(python -c "import rlaif.integrations.verl as file; print(file.__file__)")
    custom_reward_function.name=compute_score_batch
    +custom_reward_function.reward_kwargs.constitution=helpful-honest-harmless
    +custom_reward_function.reward_kwargs.critic=http://localhost:8000
    reward_model.reward_manager=batch

verl gives the response and the row's ``extra_info``, which must hold the ``prompt``. ``compute_score`` is called for each
response by itself, ``compute_score_batch`` for all of a batch, which judges the samples of one prompt together.

verl knows no missing value: of a batch, a failed verdict gets the mean of its prompt's other samples
(``filled``); alone, the mean of what was scored before. ``missing`` in the result says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from rlaif.errors import RunFailed, UsageError
from rlaif.integrations.judged import filled
from rlaif.integrations.reward import ConstitutionReward

_sums: dict[str, tuple[float, int]] = {}
"""By settings: what ``compute_score`` has given so far, as a sum and a count."""


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: Mapping[str, Any] | None = None, **settings: Any
) -> dict[str, float]:
    """The score of one response. settings: those of ``ConstitutionReward``.

    Raises UsageError where ``extra_info`` has no prompt, RunFailed where the first verdict of all fails.
    """
    spelled = _spelled(settings)
    judged = _reward(spelled).judge([_prompt(extra_info)], [solution_str], _columns([data_source], [ground_truth]))
    (value,) = judged.values
    total, many = _sums.get(spelled, (0.0, 0))
    if value is None:
        if not many:
            raise RunFailed(f"the first response has no reward ({', '.join(judged.failures)}), and verl knows no missing value")
        return {"score": total / many, "missing": 1.0}
    _sums[spelled] = (total + value, many + 1)
    return {"score": value, "missing": 0.0}


def compute_score_batch(
    data_sources: Sequence[str],
    solution_strs: Sequence[str],
    ground_truths: Sequence[Any],
    extra_infos: Sequence[Mapping[str, Any] | None],
    **settings: Any,
) -> list[dict[str, float]]:
    """The scores of a batch, for verl's batch reward manager. settings: those of ``ConstitutionReward``."""
    prompts = [_prompt(extra) for extra in extra_infos]
    judged = _reward(_spelled(settings)).judge(prompts, solution_strs, _columns(data_sources, ground_truths))
    values = filled(judged.values, [json.dumps(prompt, sort_keys=True) for prompt in prompts])
    return [{"score": value, "missing": float(known is None)} for value, known in zip(values, judged.values, strict=True)]


def _columns(sources: Sequence[str], truths: Sequence[Any]) -> dict[str, Sequence[Any]]:
    """What principles with ``when`` and verifiers find in a row."""
    return {"data_source": sources, "answer": truths}


def _prompt(extra: Mapping[str, Any] | None) -> Any:
    prompt = (extra or {}).get("prompt")
    if prompt is None:
        raise UsageError("extra_info has no prompt; put each row's prompt there when the dataset is made")
    return prompt if isinstance(prompt, str) else [dict(turn) for turn in prompt]


def _spelled(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True, default=list)


@cache
def _reward(spelled: str) -> ConstitutionReward:
    """One reward for the same settings, so that its models are opened once."""
    return ConstitutionReward(**json.loads(spelled))
