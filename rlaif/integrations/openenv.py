"""A rubric of OpenEnv (0.3): the critic's word as an environment's reward::

    from rlaif.integrations.openenv import ConstitutionRubric

    rubric = ConstitutionRubric(lambda action, seen: (seen.prompt, action.message), "helpful-honest-harmless", "http://localhost:8000")

OpenEnv judges each step by itself and knows no missing value: a verdict that fails is an error of the step, and never a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from openenv.core.rubrics.base import Rubric

from rlaif.constitution.types import Constitution
from rlaif.errors import RunFailed
from rlaif.integrations.judged import Judged, Text
from rlaif.integrations.reward import ConstitutionReward


class ConstitutionRubric(Rubric):  # type: ignore[misc]  # OpenEnv is not typed
    """read: the prompt and the response of an action and what was observed. The other arguments: of ``ConstitutionReward``.

    ``last`` is what was said of the last step, with each principle's value.
    """

    def __init__(
        self,
        read: Callable[[Any, Any], tuple[Text, Text]],
        constitution: str | Path | Constitution | None = None,
        critic: str | Sequence[str] = (),
        **settings: Any,
    ) -> None:
        super().__init__()
        self._read = read
        self._reward = ConstitutionReward(constitution, critic, **settings)
        self.last: Judged | None = None

    async def forward(self, action: Any, observation: Any) -> float:
        """The reward of a step. Raises RunFailed where there is no verdict."""
        prompt, response = self._read(action, observation)
        self.last = await self._reward.ajudge([prompt], [response])
        (value,) = self.last.values
        if value is None:
            raise RunFailed(f"no verdict on the step ({', '.join(self.last.failures)}); it has no reward")
        return value

    def close(self) -> None:
        """Give the critic's models back."""
        self._reward.close()
