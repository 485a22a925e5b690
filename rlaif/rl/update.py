"""The update: epochs of minibatches, each a step of the policy and of the value net."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from rlaif.errors import RunFailed
from rlaif.rl.batch import Batch, passes
from rlaif.rl.config import Normalise, RlConfig
from rlaif.rl.experience import Experience, importance
from rlaif.rl.maths import kl, losses
from rlaif.rl.maths.mismatch import not_left_behind
from rlaif.rl.maths.schedule import factor, line
from rlaif.rl.maths.surrogates import SURROGATES, dual_clip, ratio
from rlaif.rl.networks import Network, Networks
from rlaif.rl.ranks import add_up, added_up, several, share
from rlaif.rl.shard import norm as total_norm
from rlaif.rl.shard import part_of, whole


class Learner:
    """Holds the optimisers: AdamW with ε = 1e-5 (Huang et al. 2024, arXiv 2403.17031), one and a learning rate for each net.

    What a step does depends on weights, optimisers, experience and the step's number alone. ptx: draws supervised rows, by a
    number (``rlaif.rl.ptx``).
    """

    def __init__(self, config: RlConfig, networks: Networks, ptx: Callable[[int], Batch] | None = None) -> None:
        self._config, self._networks, self._ptx = config, networks, ptx
        self._policy = _Optimiser(config, list(networks.policy.parameters().values()), config.learns_at, "policy")
        self._value = None
        if networks.value and config.value_net:
            rate = config.value_net.value_learns_at
            self._value = _Optimiser(config, list(networks.value.parameters().values()), rate, "value net")

    def update(self, experience: Experience, step: int, temperature: float, beta: float) -> dict[str, float]:
        """One iteration's steps. Returns what to watch, means over them.

        With ``target_kl`` the iteration ends before the first step at which the policy is farther than that from where the
        iteration began (Schulman et al. 2017's adaptive variants; Spinning Up's early stopping).

        Raises RunFailed before a step whose gradient is not finite.
        """
        config, watched, done = self._config, Watched(), 0
        alone = config.value_net is not None and step < config.value_net.value_alone
        scale = factor(config.schedule, config.warmup, step, config.steps)
        for epoch in range(config.epochs):
            for rows in self._minibatches(len(experience.batch.ended), step, epoch):
                part = experience.take(rows)
                if not alone:
                    away = self._policy_pass(part, step, temperature, beta, watched)
                    if experience.unseen:
                        experience.see(rows, part)
                        experience = experience._replace(unseen=False)
                    if config.target_kl is not None and away > config.target_kl:
                        self._policy.zero()
                        return {**watched.means(), "minibatches": done}
                    if self._ptx:
                        self._ptx_pass(self._ptx(step * config.epochs * config.minibatches + done), watched)
                    watched.add(gradient_norm=self._policy.step(scale))
                if self._value:
                    self._value_pass(part, watched)
                    watched.add(value_gradient_norm=self._value.step(scale))
                done += 1
        return {**watched.means(), "minibatches": done}

    def state_dict(self) -> dict[str, Any]:
        return {name: network.state_dict() for name, network in self._optimisers()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, network in self._optimisers():
            network.load_state_dict(state[name])

    def _optimisers(self) -> Iterator[tuple[str, _Optimiser]]:
        yield "policy", self._policy
        if self._value:
            yield "value", self._value

    def _policy_pass(self, part: Experience, step: int, temperature: float, beta: float, watched: Watched) -> float:
        """Add up the gradient of a minibatch. Returns how far the policy is from where the iteration began, per token.

        Each token's share of the loss is fixed by the whole minibatch, so that how it is cut into passes changes memory alone.
        """
        config, sums = self._config, Watched()
        shares = token_shares(part.batch.mask, config.normalise, config.max_tokens)
        bonus = line(config.entropy, config.entropy_end, step, config.steps)
        in_loss = beta if config.kl_in == "loss" else 0.0
        clip = (config.clip, config.clip_high or config.clip)
        tokens = part.batch.mask.sum()
        for rows, own in self._passes(part.batch, self._networks.policy):
            piece = part.take(rows)
            mask = piece.batch.mask
            counts = shares[rows, : mask.shape[1]] * own
            with self._networks.policy.active(learning=True):
                logp, entropy = self._networks.policy.logprobs(piece.batch, temperature, entropy=bonus > 0 or piece.unseen)
                if piece.unseen:  # the policy has not moved: these are its log-probabilities before the update too
                    views = piece.views._replace(logp=logp.detach(), entropy=entropy.detach())
                    piece = piece._replace(views=views, weights=importance(config, logp, piece.batch))
                    if own:
                        part.see(rows, piece)
                views = piece.views
                surrogate, bounded = SURROGATES[config.surrogate](logp, views.logp, piece.advantages, mask, clip)
                if config.dual_clip:
                    surrogate = dual_clip(surrogate, piece.advantages, mask, config.dual_clip)
                surrogate = surrogate * piece.weights
                if config.off_policy:
                    surrogate = surrogate * not_left_behind(
                        logp, piece.batch.sampled, piece.advantages, mask, config.off_policy
                    )
                loss = surrogate
                if bonus:
                    loss = loss - bonus * entropy
                if in_loss:
                    penalty = kl.ESTIMATORS[config.kl](logp, views.reference, mask)
                    loss = loss + in_loss * (penalty * ratio(logp, views.logp, mask) if config.kl_weighted else penalty)
                torch.autograd.backward((loss * counts).sum())
            moved = kl.k2(logp.detach(), views.logp, mask)
            sums.sum(
                policy_loss=(surrogate * counts).sum(),
                clip_fraction=own * bounded.sum() / tokens,
                approx_kl=own * moved.sum() / tokens,
            )
        if part.unseen:
            part.see_others()
        found = added_up(sums.means())
        watched.add(**found)
        return found["approx_kl"]

    def _value_pass(self, part: Experience, watched: Watched) -> None:
        config, sums, network = self._config.value_net, Watched(), self._networks.value
        assert network and config
        tokens = part.batch.mask.sum()
        for rows, own in self._passes(part.batch, network):
            piece = part.take(rows)
            with network.active(learning=True):
                values = network.values(piece.batch)
                loss = losses.value_loss(values, piece.views.values, piece.returns, piece.batch.mask, config.value_clip or None)
                torch.autograd.backward(own * loss.sum() / tokens)
            sums.sum(value_loss=own * loss.sum() / tokens)
        watched.add(**added_up(sums.means()))

    def _ptx_pass(self, batch: Batch, watched: Watched) -> None:
        """Add γ times the gradient of the likelihood of supervised responses: PPO-ptx (Ouyang et al. 2022, arXiv 2203.02155,
        eq. 2), as a mean over their tokens."""
        sums, tokens = Watched(), batch.mask.sum()
        for rows, own in self._passes(batch, self._networks.policy):
            with self._networks.policy.active(learning=True):
                logp, _ = self._networks.policy.logprobs(batch.take(rows), 1.0, entropy=False)
                loss = -own * logp.sum() / tokens
                torch.autograd.backward(self._config.ptx_weight * loss)
            sums.sum(ptx_loss=loss)
        watched.add(**added_up(sums.means()))

    def _passes(self, batch: Batch, network: Network) -> Iterator[tuple[Tensor, bool]]:
        return passes(batch.lengths, self._config.micro_tokens, share(), network.sharded)

    def _minibatches(self, many: int, step: int, epoch: int) -> Iterator[Tensor]:
        """Row numbers, shuffled by (seed, step, epoch)."""
        generator = torch.Generator().manual_seed(hash((self._config.seed, step, epoch)))
        order = torch.randperm(many, generator=generator)
        return (part for part in order.tensor_split(self._config.minibatches) if len(part))


class _Optimiser:
    def __init__(self, config: RlConfig, parameters: list[nn.Parameter], rate: float, name: str) -> None:
        options: dict[str, Any] = {"eps": config.adam_eps, "weight_decay": config.weight_decay, "fused": True}
        sharded, plain = ([each for each in parameters if isinstance(each, DTensor) is kind] for kind in (True, False))
        groups = [{"params": group} for group in (sharded, plain) if group]  # the optimiser takes no mix
        self.adam = torch.optim.AdamW(groups, lr=rate, **options)
        self._parameters, self._rate, self._name = parameters, rate, name
        self._limit = config.max_grad_norm or math.inf

    def state_dict(self) -> dict[str, Any]:
        """In one piece."""
        state = self.adam.state_dict()
        return {
            **state,
            "state": {key: {name: whole(value) for name, value in kept.items()} for key, kept in state["state"].items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        ordered = [value for group in self.adam.param_groups for value in group["params"]]
        kept = {
            key: {name: part_of(value, ordered[key]) if value.dim() else value for name, value in each.items()}
            for key, each in state["state"].items()
        }
        self.adam.load_state_dict({**state, "state": kept})

    def zero(self) -> None:
        self.adam.zero_grad(set_to_none=True)

    def step(self, scale: float) -> float:
        """Clip the gradient's norm, take a step at ``scale`` times the learning rate, let go of it, and return its norm.

        Of several processes, the gradient is the sum of theirs."""
        if several():
            for value in self._parameters:
                value.grad = torch.zeros_like(value) if value.grad is None else value.grad
            add_up(*(grad for grad in self._gradients() if not isinstance(grad, DTensor)))  # FSDP has added up the others
        size = total_norm(self._gradients())
        for group in self.adam.param_groups:
            torch.nn.utils.clip_grads_with_norm_(group["params"], self._limit, size)
        norm = size.item()
        if not math.isfinite(norm):
            raise RunFailed(f"the gradient of the {self._name} is not finite; try a lower learning rate")
        for group in self.adam.param_groups:
            group["lr"] = self._rate * scale
        self.adam.step()
        self.zero()
        return norm

    def _gradients(self) -> list[Tensor]:
        return [value.grad for value in self._parameters if value.grad is not None]


class Watched:
    """Figures gathered over an iteration: sums within a minibatch (``sum``), means over minibatches (``add``)."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, int] = defaultdict(int)

    def sum(self, **figures: Tensor) -> None:
        for name, value in figures.items():
            self._sums[name] += value.item()
            self._counts[name] = 1

    def add(self, **figures: float) -> None:
        for name, value in figures.items():
            self._sums[name] += value
            self._counts[name] += 1

    def means(self) -> dict[str, float]:
        return {name: value / self._counts[name] for name, value in self._sums.items()}


def token_shares(mask: Tensor, normalise: Normalise, longest: int) -> Tensor:
    """What each token of a minibatch counts for in its loss, [B, R], 0 beside the responses.

    ``tokens``: all the same, 1 in all. ``sequences``: each response 1 / B, spread over its tokens (Shao et al. 2024, arXiv
    2402.03300). ``constant``: 1 / (B · longest), whatever the responses' lengths (Liu et al. 2025, arXiv 2503.20783).
    """
    if normalise == "tokens":
        return mask / mask.sum()
    if normalise == "sequences":
        return mask / (mask.sum(-1, keepdim=True) * len(mask))
    return mask / (len(mask) * longest)
