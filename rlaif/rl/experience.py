"""From rewarded rollouts to what the update learns from: log-probabilities, shaped rewards, values, advantages."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rlaif.rl.batch import Batch, passes
from rlaif.rl.config import RlConfig, Scored
from rlaif.rl.maths import kl, mismatch, shaping
from rlaif.rl.maths.surrogates import most_uncertain
from rlaif.rl.networks import Networks
from rlaif.rl.ranks import add_up, several, share


class Views(NamedTuple):
    """What the networks say of a batch, [B, R] each, before the update. logp: the policy's log-probabilities, as the trainer
    computes them; reference: the reference policy's, NaN without one; entropy: of what each token was drawn from; values: 0
    without a net."""

    logp: Tensor
    reference: Tensor
    entropy: Tensor
    values: Tensor


class Experience(NamedTuple):
    """batch: the rollouts with a reward, those alone. views: as above. weights: importance weights of tokens that an older or
    another policy sampled. advantages, returns (0 without a value net): [B, R]. unseen: the policy has not been asked yet;
    its log-probabilities and entropies, and the weights, are NaN until the update's first pass has put them in (``see``)."""

    batch: Batch
    views: Views
    weights: Tensor
    advantages: Tensor
    returns: Tensor
    unseen: bool = False

    def take(self, rows: Tensor) -> Experience:
        """Some rows, without the padding that only others need."""
        batch = self.batch.take(rows)
        weights, advantages, returns, *views = (
            field[rows, : batch.mask.shape[1]] for field in (self.weights, self.advantages, self.returns, *self.views)
        )
        return Experience(batch, Views(*views), weights, advantages, returns, self.unseen)

    @torch.no_grad()
    def see(self, rows: Tensor, part: Experience) -> None:
        """Put in what the policy says of some rows, and the weights that follow from it. part: ``take(rows)``, filled."""
        width = part.batch.mask.shape[1]
        for mine, theirs in ((self.views.logp, part.views.logp), (self.views.entropy, part.views.entropy)):
            mine[rows] = 0.0
            mine[rows, :width] = theirs.detach()
        self.weights[rows] = 0.0
        self.weights[rows, :width] = part.weights

    def see_others(self) -> None:
        """Of several processes: put in what each of the others has seen of its rows."""
        seen = (self.views.logp, self.views.entropy, self.weights)
        if several():
            add_up(*(each.nan_to_num_(nan=0.0) for each in seen))


def first_pass_sees(config: RlConfig, step: int) -> bool:
    """Whether the update's first pass can say what the policy's log-probabilities were before the update: all rollouts are in
    one minibatch, so that no weight has changed, and nothing that the pass needs depends on them beyond a response."""
    in_reward = config.beta and config.kl_in == "reward"
    alone = config.value_net is not None and step < config.value_net.value_alone
    return config.minibatches == 1 and config.top_entropy == 1 and not in_reward and not alone


@torch.no_grad()
def look(networks: Networks, batch: Batch, temperature: float, micro_tokens: int | None, policy: bool = True) -> Views:
    """Ask every network, in passes of at most ``micro_tokens`` tokens. policy: whether to ask it too; else NaN."""
    views = Views(*(torch.zeros(batch.mask.shape, device=batch.mask.device) for _ in Views._fields))
    for rows, counts in passes(batch.lengths, micro_tokens, share(), networks.policy.sharded):
        part = batch.take(rows)
        width, seen = part.mask.shape[1], Views(*(torch.zeros(part.mask.shape, device=batch.mask.device) for _ in views))
        if policy:
            with networks.policy.active():
                logp, entropy = networks.policy.logprobs(part, temperature)
                seen = seen._replace(logp=logp, entropy=entropy)
        if networks.reference:
            with networks.reference.active():
                seen = seen._replace(reference=networks.reference.logprobs(part, temperature, entropy=False)[0])
        if networks.value:
            with networks.value.active():
                seen = seen._replace(values=networks.value.values(part))
        for whole, own in zip(views, seen, strict=True) if counts else ():
            whole[rows, :width] = own
    add_up(*views)
    if not policy:
        for unseen in (views.logp, views.entropy):
            unseen.fill_(torch.nan)
    if networks.reference is None:
        views.reference.fill_(torch.nan)
    return views


def estimate(
    config: RlConfig,
    batch: Batch,
    views: Views,
    scores: Tensor,
    beta: float,
    unseen: bool = False,
    greedy: Tensor | None = None,
) -> Experience:
    """Shape the scores [B], and estimate advantages as the method does. unseen: see ``Experience``. greedy: see ``Scored``."""
    mask = batch.mask
    scores, greedy = scores.to(mask.device), None if greedy is None else greedy.to(mask.device)
    if config.eos_penalty is not None:
        scores = shaping.missing_eos(scores, batch.ended, config.eos_penalty, config.eos_mode)
    lengths = mask.sum(-1)
    if config.overlong is not None:
        scores = scores + shaping.soft_overlong(lengths, config.max_tokens, config.overlong)
    if config.length_weight:
        scores = scores + config.length_weight * shaping.group_lengths(lengths, batch.groups)
    penalty, in_reward = torch.zeros_like(views.values), 0.0
    if config.beta and config.kl_in == "reward":
        penalty, in_reward = kl.ESTIMATORS[config.kl](views.logp, views.reference, mask), beta
    weights = torch.full_like(views.logp, torch.nan) if unseen else importance(config, views.logp, batch)
    if config.top_entropy < 1:
        weights = weights * most_uncertain(views.entropy, mask, config.top_entropy)
    advantages, returns = config.estimate(Scored(scores, penalty, in_reward, views.values, mask, batch.groups, greedy))
    return Experience(batch, views, weights, advantages, returns, unseen)


def importance(config: RlConfig, logp: Tensor, batch: Batch) -> Tensor:
    """[B, R]: what a token that an older or another policy has drawn is worth; 1 with ``--importance-cap 0``."""
    if not config.importance_cap:
        return batch.mask.float()
    both = (logp.detach(), batch.sampled, batch.mask)
    if config.importance == "mask":
        weights = mismatch.masked(*both, config.importance_floor, config.importance_cap)
    elif config.importance == "sequence":
        weights = mismatch.sequence_masked(*both, config.importance_cap)
    elif config.importance == "sequence-truncate":
        weights = mismatch.sequence_truncated(*both, config.importance_cap)
    else:
        weights = mismatch.truncated(*both, config.importance_cap)
    return weights if config.importance_band is None else weights * mismatch.within_band(*both, *config.importance_band)
