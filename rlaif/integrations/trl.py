"""TRL's ``reward_funcs``: pass a ``ConstitutionReward`` to ``GRPOTrainer`` or ``RLOOTrainer`` as it is.

TRL gives all samples of a prompt at once, so that ``feedback="group"`` compares them with each other; None is its missing
value, which it leaves out of the means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from rlaif.integrations.judged import Judged, Text

_TRAINERS_OWN = frozenset(("completion_ids", "trainer_state", "log_extra", "log_metric", "environments"))
"""What TRL passes besides the dataset's columns."""


def rewards(
    judge: Callable[..., Judged],
    name: str,
    prompts: Sequence[Text],
    completions: Sequence[Text],
    given: Mapping[str, Any],
) -> list[float | None]:
    """The rewards of ``completions``.

    judge: a ``ConstitutionReward``'s. given: the dataset's columns and what TRL passes besides.

    Metrics are logged under ``name``: the mean of each principle or source over the responses that have one, and
    ``missing``, the share of responses without a reward. The completions table gets a column for each too.
    """
    columns = {column: values for column, values in given.items() if column not in _TRAINERS_OWN}
    judged = judge(prompts, completions, columns)
    log_metric, log_extra = given.get("log_metric"), given.get("log_extra")
    for column, values in judged.columns.items():
        known = [value for value in values if value is not None]
        if log_metric and known:
            log_metric(f"{name}/{column}", fmean(known))
        if log_extra:
            log_extra(f"{name}/{column}", values)
    if log_metric and judged.values:
        log_metric(f"{name}/missing", judged.values.count(None) / len(judged.values))
    return judged.values
