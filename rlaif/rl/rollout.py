"""What the loop passes around: rollouts, their rewards, and who makes either."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from rlaif.data.rows import Row


@dataclass(frozen=True, slots=True)
class Query:
    """A prompt as the sampler gets it. row: where it comes from; verifiers read its extra columns. task: its ``task`` column,
    ``""`` without one. group: number of the prompt within its iteration, shared by all samples of it. ids: its tokens.

    other: of a judge's question (``rl.questions``), its tokens with the responses in the other order; both orders are sampled,
    as one group. swapped: whether the row's second response stands first in ``ids``."""

    row: Row
    task: str
    group: int
    ids: tuple[int, ...]
    other: tuple[int, ...] = ()
    swapped: bool = False

    @property
    def length(self) -> int:
        """Tokens of the prompt, of the longer order where there are two."""
        return max(len(self.ids), len(self.other))

    @property
    def orders(self) -> tuple[Query, ...]:
        """What is sampled: the prompt itself; of a judge's question, both orders."""
        return (self, self.turned()) if self.other else (self,)

    def turned(self) -> Query:
        """The question with the responses in the other order."""
        return replace(self, ids=self.other, other=self.ids, swapped=not self.swapped)


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled response.

    ids: the response's tokens, with the token that ended it where one did. logprobs: the sampler's log-probability of each
    at the sampling temperature, parallel to ids. text: what they spell, without the end. ended: by itself, not by the limit.
    """

    query: Query
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    ended: bool


class Rewards(NamedTuple):
    """What a source says of B rollouts.

    values: [B], NaN where there is no verdict. valid: [B], bool. columns: what the values were made of (``rewards.tally`` has
    their names), [B] each, NaN where missing. failures: how many have none, by reason.
    """

    values: Tensor
    valid: Tensor
    columns: Mapping[str, Tensor]
    failures: Mapping[str, int]


class RewardSource(Protocol):
    """Rewards rollouts. Called with whole groups, so that samples of one prompt can be compared with each other."""

    async def __call__(self, rollouts: Sequence[Rollout]) -> Rewards: ...


class Sampler(Protocol):
    """Draws responses from the policy as it is now."""

    def sample(self, queries: Sequence[Query], n: int, temperature: float, seed: int) -> AsyncIterator[list[Rollout]]:
        """n responses to each query, in batches of whole groups as they are done, in any order."""
        ...

    def update(self, model: Any) -> None:
        """Sample from these weights from here on."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Sleeper(Protocol):
    """An engine that can give a GPU's memory back; nobody asks it anything from ``sleep`` until ``wake`` is done."""

    def sleep(self) -> None: ...
    def wake(self) -> None: ...
