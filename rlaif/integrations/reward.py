"""One reward for all trainers: a constitution and a critic, asked as in our own loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rlaif.api.handle import Handle
from rlaif.api.inputs import constitution_of
from rlaif.constitution.types import Constitution
from rlaif.critic.store import key
from rlaif.data.rows import Row
from rlaif.data.turns import conversation
from rlaif.data.values import BadRecordError, plain
from rlaif.errors import RunFailed, UsageError
from rlaif.integrations.judged import Judged, Text
from rlaif.integrations.trl import rewards
from rlaif.rl.rewards.config import RewardConfig
from rlaif.settings import changed, configure

if TYPE_CHECKING:
    from rlaif.rl.rewards.open import OpenReward
    from rlaif.rl.rollout import Rewards, Rollout

FIRST_JUDGEMENT = 100
"""Rewards before the failure rate is held against its limit, and about how many it looks back on."""


class ConstitutionReward(Handle["OpenReward"]):
    """A reward for any trainer. It is called as TRL calls its ``reward_funcs``; ``judge`` is for everybody else.

    What a trainer gives together is judged together: with ``feedback="group"`` each response is compared with the other samples
    of its prompt, in both orders. A verdict that failed is None, never a number.

    Models are opened at the first call, in the process that calls. The object can be pickled, closed, and used from threads.
    """

    def __init__(
        self,
        constitution: str | Path | Constitution | None = None,
        critic: str | Sequence[str] = (),
        *,
        name: str = "constitution",
        reference: str | None = None,
        max_tokens: int = 256,
        out: str | Path = "runs",
        **settings: Any,
    ) -> None:
        """constitution: a path, a shipped constitution's name, or a ``Constitution``. critic: one, or several for a jury.
        name: what the trainer's logs call it. settings: those of the reward in ``rlaif train grpo``, by name: ``feedback``,
            ``opponents``, ``reasons``, ``votes``, ``reward="mix.yaml"``, ``max_failure_rate``, …
        reference, max_tokens, out: with ``feedback="reference"`` the policy to compare with, its longest answer, and the folder
            that keeps its answers.

        Raises UsageError for settings that are not known or not allowed.
        """
        super().__init__()
        self.__name__ = name
        self.constitution = constitution if isinstance(constitution, Constitution | None) else Constitution.load(constitution)
        self.config = configure(RewardConfig, critic=critic, **settings)
        self._reference, self._max_tokens, self._out = reference, max_tokens, Path(out)
        self._recent: deque[tuple[int, float]] = deque()

    def judge(
        self,
        prompts: Sequence[Text],
        responses: Sequence[Text],
        columns: Mapping[str, Sequence[Any]] | None = None,
        groups: Sequence[Any] | None = None,
    ) -> Judged:
        """The rewards of responses, each to the prompt at its place.

        columns: what the rows have besides (``when`` of principles, verifiers and a mix's tasks read it), each parallel to the
            prompts. groups: which responses are samples of one prompt; by default those whose prompts are the same.

        Raises UsageError for what cannot be judged, RunFailed where more than ``max_failure_rate`` of the verdicts fail.
        """
        rollouts = _rollouts(prompts, responses, columns or {}, groups)
        return self._judged(self._run(lambda opened: _asked(opened, rollouts)))

    async def ajudge(
        self,
        prompts: Sequence[Text],
        responses: Sequence[Text],
        columns: Mapping[str, Sequence[Any]] | None = None,
        groups: Sequence[Any] | None = None,
    ) -> Judged:
        """``judge``, to be awaited."""
        rollouts = _rollouts(prompts, responses, columns or {}, groups)
        return self._judged(await self._arun(lambda opened: _asked(opened, rollouts)))

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **given: Any) -> list[float | None]:
        """As TRL calls it: see ``rlaif.integrations.trl``."""
        return rewards(self.judge, self.__name__, prompts, completions, given)

    def _open(self) -> OpenReward:
        from rlaif.rl.rewards.open import open_reward

        with TemporaryDirectory(prefix="rlaif-") as temporary:
            config = self.config
            if self.constitution is not None:
                path = constitution_of(self.constitution, Path(temporary), "reward")
                config = changed(config, constitution=path)
            return open_reward(config, reference=self._reference, max_tokens=self._max_tokens, out=self._out)

    async def _give_back(self, held: OpenReward) -> None:
        await held.close()

    def _judged(self, rewards: Rewards) -> Judged:
        from rlaif.rl.rewards.tally import failure_rate

        self._recent.append((len(rewards.values), failure_rate(rewards)))
        total = sum(many for many, _ in self._recent)
        while total - self._recent[0][0] >= FIRST_JUDGEMENT:
            total -= self._recent.popleft()[0]
        rate = sum(many * rate for many, rate in self._recent) / max(1, total)
        limit = self.config.critic.max_failure_rate
        if total >= FIRST_JUDGEMENT and rate > limit:
            why = ", ".join(f"{reason} {many}" for reason, many in rewards.failures.items())
            raise RunFailed(
                f"{rate:.0%} of the verdicts on the last {total} responses failed, more than max_failure_rate {limit:g}"
                + (f"; of the last call: {why}" if why else "")
            )
        columns = {column: _plain(values.tolist()) for column, values in rewards.columns.items()}
        return Judged(_plain(rewards.values.tolist()), columns, dict(rewards.failures))


async def _asked(opened: OpenReward, rollouts: Sequence[Rollout]) -> Rewards:
    return await opened.source(rollouts)


def _rollouts(
    prompts: Sequence[Text], responses: Sequence[Text], columns: Mapping[str, Sequence[Any]], groups: Sequence[Any] | None
) -> list[Rollout]:
    from rlaif.rl.rollout import Query, Rollout

    if len(prompts) != len(responses):
        raise UsageError(f"{len(prompts)} prompts and {len(responses)} responses: give one prompt for each response")
    if short := [name for name, values in columns.items() if len(values) != len(prompts)]:
        raise UsageError(f"column {short[0]}: {len(columns[short[0]])} values for {len(prompts)} responses")
    numbers: dict[Any, int] = {}
    rollouts = []
    for place, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        try:
            turns = conversation("prompt", prompt)
            extra = {name: plain(name, values[place]) for name, values in columns.items()}
        except BadRecordError as error:
            raise UsageError(f"response {place + 1}: {error}") from None
        content = key(turns, extra).hex()
        number = numbers.setdefault(content if groups is None else groups[place], len(numbers))
        row = Row(number + 1, content, turns, (), extra=extra)
        query = Query(row, str(extra.get("task") or ""), number, ())
        rollouts.append(Rollout(query, (), (), _text(response), True))
    return rollouts


def _text(response: Text) -> str:
    """What the policy said; of several turns (with tools between them) what the assistant said in each."""
    if isinstance(response, str):
        return response
    return "\n\n".join(str(turn["content"] or "") for turn in response if turn["role"] == "assistant")


def _plain(values: Sequence[float]) -> list[float | None]:
    return [None if value != value else value for value in values]
