"""The on-policy loop: sample → reward → shape → values → advantages → update → monitor → save."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from rlaif.errors import RunFailed
from rlaif.processes import on_main
from rlaif.rl import figures as of
from rlaif.rl import ranks
from rlaif.rl.ahead import Ahead, temperature
from rlaif.rl.batch import collate
from rlaif.rl.collect import GREEDY, Collected, collect
from rlaif.rl.config import RlConfig
from rlaif.rl.experience import estimate, first_pass_sees, look
from rlaif.rl.maths.advantages import comparable
from rlaif.rl.maths.stats import RunningMoments
from rlaif.rl.monitor.monitor import Report
from rlaif.rl.parts import Parts
from rlaif.rl.record import Log
from rlaif.rl.rewards.tally import failure_rate
from rlaif.rl.rollout import Query, Rewards, RewardSource, Rollout
from rlaif.rl.sleep import asleep
from rlaif.rl.state import put, weights_of

RECENT = 4
"""Iterations over which the failure rate is taken."""


@dataclass
class Loop:
    """step: iterations that are done. stopped: why the monitor ended the run, where it did. best: the step after which the
    policy was best, by held-out prompts."""

    config: RlConfig
    parts: Parts
    log: Log
    step: int = 0
    stopped: str | None = None
    best: int | None = None
    _moments: dict[str, RunningMoments] = field(default_factory=lambda: defaultdict(RunningMoments))
    _failures: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ahead = Ahead(self.config, self.parts)

    async def run(self) -> None:
        """Train until the last step, or until the monitor says stop. Raises RunFailed where it cannot go on."""
        try:
            if self.step == 0:
                self.log.metrics(0, await self._evaluate())
            while self.step < self.config.steps and not self.stopped:
                await self._iterate()
        finally:
            self._ahead.cancel()

    async def _iterate(self) -> None:
        config, parts, began = self.config, self.parts, time.monotonic()
        collected = await self._ahead.take(self.step)
        idle = time.monotonic() - began
        self._check_failures(collected.rewards)
        if config.skip_alike:  # before the next prompts are drawn, or with --async it would depend on who is faster
            alike = set(of.alike(collected.rewards, collected.rollouts))
            parts.prompts.pass_over(rollout.query for rollout in collected.rollouts if rollout.query.group in alike)
        parts.prompts.learn(of.scores_by_row(collected.rewards, collected.rollouts))
        await self._ahead.fill(self.step)
        learning = time.monotonic()
        with asleep(parts.sleepers):
            figures = await asyncio.to_thread(self._learn, collected)
            learned = time.monotonic() - learning
        if not config.ahead:
            parts.sampler.update(parts.networks.policy.model)
        seconds = time.monotonic() - began
        waiting = min(idle, collected.waiting) / seconds
        phases = {"sampling": collected.sampling, "waiting": collected.waiting, "learning": learned}
        figures |= {"seconds": seconds, "waiting": waiting, **{f"seconds_{name}": taken for name, taken in phases.items()}}
        self.step += 1
        report = on_main(
            lambda: parts.monitor.iteration(self.step, collected.rollouts, collected.rewards, figures["kl"], waiting)
        )
        figures |= self._heed(report)
        if self.step % config.evaluates_every == 0 or self.step == config.steps:
            figures |= await self._evaluate()
        self.log.metrics(self.step, figures)
        if on_main(lambda: self.log.saves(self.step)):
            await self._ahead.finish()
            self.log.save(self.step, self.state_dict())

    def _learn(self, collected: Collected) -> dict[str, float]:
        """Everything between the rewards and the next rollouts. What has no reward leaves here: it is missing data."""
        config, parts = self.config, self.parts
        rollouts, rewards = collected.rollouts, collected.rewards
        figures = of.of_rewards(rewards, rollouts)
        kept = rewards.valid
        if config.mask_truncated:
            kept = kept & torch.tensor([rollout.ended for rollout in rollouts])
        if config.compares:
            kept = comparable(torch.tensor([rollout.query.group for rollout in rollouts]), kept)
        figures["learned_from"] = kept.float().mean().item()
        if not kept.any():
            return figures | {"kl": float("nan")}
        degrees, beta = temperature(config, self.step), parts.coefficient.beta
        used = [rollout for rollout, keep in zip(rollouts, kept.tolist(), strict=True) if keep]
        scores = self._scaled(rewards.values[kept], used)
        batch = collate(used, parts.pad, parts.networks.policy.model.device)
        unseen = first_pass_sees(config, self.step)
        views = look(parts.networks, batch, degrees, config.micro_tokens, policy=not unseen)
        greedy = self._clipped(rewards.columns[GREEDY][kept]) if config.greedy else None
        experience = estimate(config, batch, views, scores, beta, unseen, greedy)
        figures |= parts.learner.update(experience, self.step, degrees, beta) | {"beta": beta}
        figures |= of.of_views(batch, views) | of.of_experience(experience, parts.networks.value is not None)
        parts.coefficient.update(figures["kl"], len(used))
        return figures

    def _scaled(self, scores: Tensor, rollouts: Sequence[Rollout]) -> Tensor:
        """[B], each task's scores in its own running standard deviations where asked for, then clipped.

        Sources: normalised: Ziegler et al. 2019 (arXiv 1909.08593), whose reward models start with mean 0 and variance 1;
        clipped: Engstrom et al. 2020 (arXiv 2005.12729).
        """
        if self.config.normalise_rewards:
            tasks = [rollout.query.task for rollout in rollouts]
            for task in sorted(set(tasks)):
                mine = torch.tensor([each == task for each in tasks])
                self._moments[task].update(scores, mine)
                scores = torch.where(mine, self._moments[task].normalise(scores), scores)
        return self._clipped(scores)

    def _clipped(self, scores: Tensor) -> Tensor:
        limit = self.config.clip_rewards
        return scores if limit is None else scores.clamp(-limit, limit)

    async def _evaluate(self) -> dict[str, float]:
        """Held-out prompts, the same with the same seed each time, judged by the reward source and a second judge."""
        config, parts = self.config, self.parts
        if not parts.held_out:
            return {}
        await self._ahead.finish()
        if config.ahead:
            parts.sampler.update(parts.networks.policy.model)
        many, seed = min(2, config.samples), config.seed << 32
        collected = await collect(
            parts.sampler, parts.source, parts.held_out, many, config.temperature, seed, parts.cut, parts.central
        )
        second = await self._second(collected.rollouts)
        for judge, rewards in (("the reward's source", collected.rewards), ("the second judge", second)):
            if rewards and failure_rate(rewards) > config.max_failure_rate:
                raise RunFailed(_too_many(judge, "about the held-out prompts", failure_rate(rewards), config, rewards))
        batch = collate(collected.rollouts, parts.pad, parts.networks.policy.model.device)
        networks = parts.networks._replace(value=None)
        with asleep(parts.sleepers):
            views = await asyncio.to_thread(look, networks, batch, config.temperature, config.micro_tokens)
        if parts.sleepers:
            parts.sampler.update(parts.networks.policy.model)
        figures = of.of_rewards(collected.rewards, collected.rollouts) | of.of_views(batch, views)
        if second:
            figures |= {
                f"second_{name}": value
                for name, value in of.of_rewards(second, collected.rollouts).items()
                if name.startswith("reward")
            }
        self.log.samples(self.step, collected.rollouts, collected.rewards, second)
        report = on_main(lambda: parts.monitor.heldout(self.step, figures["kl"], collected.rollouts, collected.rewards, second))
        return {f"heldout_{name}": value for name, value in figures.items()} | self._heed(report)

    async def _second(self, rollouts: Sequence[Rollout]) -> Rewards | None:
        judge = self.parts.second

        async def ask(judge: RewardSource) -> Rewards:
            return await judge(rollouts)

        return await ranks.on_main(lambda: ask(judge)) if judge else None

    def _heed(self, report: Report) -> dict[str, float]:
        """Do what the monitor says; return its figures."""
        parts = self.parts
        for warning in report.warnings:
            self.log.warn(self.step, warning)
        if report.best is not None:
            self.best = report.best
            self.log.policy(self.step, weights_of(parts.networks.policy.parameters()), report.keep | {report.best})
        if self.config.dynamic_kl:
            parts.coefficient.raise_to(report.beta_factor)
        self.stopped = self.stopped or report.stop
        return dict(report.metrics)

    def _check_failures(self, rewards: Rewards) -> None:
        self._failures = [*self._failures, failure_rate(rewards)][-RECENT:]
        rate = sum(self._failures) / len(self._failures)
        if rate > self.config.max_failure_rate:
            when = f"in the last {len(self._failures)} iterations"
            raise RunFailed(_too_many("the reward's source", when, rate, self.config, rewards))

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on; rollouts that were sampled ahead are part of it."""
        parts, value = self.parts, self.parts.networks.value
        return {
            "step": self.step,
            "policy": weights_of(parts.networks.policy.parameters()),
            "value": weights_of(value.parameters()) if value else {},
            "learner": parts.learner.state_dict() if self.config.keep_optimiser else None,
            "prompts": parts.prompts.state_dict(),
            "coefficient": parts.coefficient.state_dict(),
            "moments": {task: moments.state_dict() for task, moments in self._moments.items()},
            "monitor": parts.monitor.state_dict(),
            "failures": self._failures,
            "best": self.best,
            "stopped": self.stopped,
            "ahead": self._ahead.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any], queries: Mapping[int, Query]) -> None:
        """queries: all prompts by their rows' numbers."""
        parts = self.parts
        self.step, self.best, self.stopped = state["step"], state["best"], state["stopped"]
        self._failures = list(state["failures"])
        put(parts.networks.policy.parameters(), state["policy"])
        if parts.networks.value:
            put(parts.networks.value.parameters(), state["value"])
        if state["learner"] is not None:
            parts.learner.load_state_dict(state["learner"])
        parts.prompts.load_state_dict(state["prompts"])
        parts.coefficient.load_state_dict(state["coefficient"])
        parts.monitor.load_state_dict(state["monitor"])
        for task, moments in state["moments"].items():
            self._moments[task] = RunningMoments.from_state_dict(moments)
        self._ahead.load_state_dict(state["ahead"], queries)
        parts.sampler.update(parts.networks.policy.model)


def _too_many(who: str, when: str, rate: float, config: RlConfig, last: Rewards) -> str:
    reasons = ", ".join(f"{reason} {many}" for reason, many in last.failures.items()) or "verdicts failed"
    limit = f"--max-failure-rate {config.max_failure_rate:.0%}"
    return f"{rate:.0%} of what {who} was asked {when} has no verdict, more than {limit} ({reasons} in the last)"
