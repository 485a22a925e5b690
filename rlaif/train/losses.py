"""The losses: pure functions of log-probabilities or scores and of the soft label p.

Shapes: every tensor is [B], one entry per row, and so is every result, which the caller averages. ``chosen`` and
``rejected`` are the policy's log-probabilities of the two responses given the prompt, ``ref_chosen`` and ``ref_rejected``
the reference policy's; *sums* over the response's tokens, *averages* where a function says so. All arithmetic is in
float32, whatever comes in.

p is the probability that ``chosen`` is the better response. p = 1 is the paper's own loss. In between, a loss is its
expectation over which response is better: exchanging the responses and p for 1 − p changes nothing. The exceptions say so.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

ODDS_EPSILON = 1e-6
"""Least distance of an average log-probability from 0 in odds: certainty itself has infinite odds."""


def bradley_terry(chosen: Tensor, rejected: Tensor, p: Tensor, margin: Tensor | float = 0.0, centre: float = 0.0) -> Tensor:
    """The reward model's loss on the scores of two responses.

    −p log σ(r_c − r_r − m) − (1 − p) log σ(r_r − r_c − m) + η (r_c + r_r)²

    Args: chosen, rejected: scores [B]. p: [B]. margin: m, [B] or a number; how far apart the better response should be.
        centre: η, which keeps scores near a mean of zero.
    Returns: losses [B].
    Source: Ouyang et al. 2022, arXiv 2203.02155, eq. 1; soft labels as cross-entropy in Lee et al. 2023, arXiv 2309.00267;
        the margin in Touvron et al. 2023, arXiv 2307.09288; centring (η = .01) in Eisenstein et al. 2023, arXiv 2312.09244.
    """
    chosen, rejected, p = chosen.float(), rejected.float(), p.float()
    difference = chosen - rejected
    return _expected(-logsigmoid(difference - margin), -logsigmoid(-difference - margin), p) + centre * (chosen + rejected) ** 2


def plackett_luce(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Negative log-likelihood of a ranking: −Σ_k log (exp r_k / Σ_{j ≥ k} exp r_j). K = 2 is Bradley–Terry with p = 1.

    A ranking has no single soft label; rank the pairs instead where one is known.

    Args: scores: [B, K], best response first. mask: [B, K], true where there is a response; those come first.
    Returns: losses [B].
    Source: Plackett 1975; as a loss of language models in Rafailov et al. 2023, arXiv 2305.18290, appendix A.3.
    """
    scores = scores.float()
    if mask is None:
        return (scores.flip(-1).logcumsumexp(-1).flip(-1) - scores).sum(-1)
    # The least finite number, not −∞: an infinity's gradient is NaN even where it is masked.
    scores = scores.masked_fill(~mask, torch.finfo(torch.float32).min / 2)
    terms = scores.flip(-1).logcumsumexp(-1).flip(-1) - scores
    return terms.masked_fill(~mask, 0.0).sum(-1)


def dpo(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, p: Tensor, beta: float = 0.1) -> Tensor:
    """Direct preference optimisation. With h = (chosen − ref_chosen) − (rejected − ref_rejected):

    −p log σ(β h) − (1 − p) log σ(−β h)

    With one p = 1 − ε for all rows this is conservative DPO (cDPO); with each row's own p, soft DPO (ε := 1 − p). Its
    minimum is at β h = logit p: a row with p = ½ holds the policy where the reference is.

    Source: Rafailov et al. 2023, arXiv 2305.18290, eq. 7; cDPO: Mitchell 2023, "A note on DPO with noisy preferences".
    """
    h = _margin(chosen, rejected, ref_chosen, ref_rejected)
    return _expected(-logsigmoid(beta * h), -logsigmoid(-beta * h), p.float())


def geometric_dpo(
    chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, p: Tensor, beta: float = 0.1
) -> Tensor:
    """Soft DPO by a weighted geometric average of the responses' likelihoods: −log σ(β (2p − 1) h).

    Not an expectation over labels: a row with p = ½ is flat (it says nothing) instead of pulling h to zero.

    Source: Furuta et al. 2024, arXiv 2409.06691 (GDPO).
    """
    h = _margin(chosen, rejected, ref_chosen, ref_rejected)
    return -logsigmoid(beta * (2.0 * p.float() - 1.0) * h)


def robust_dpo(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    p: Tensor,
    beta: float = 0.1,
    flip_rate: float = 0.1,
) -> Tensor:
    """DPO unbiased under label noise: ((1 − ε) L(c, r) − ε L(r, c)) / (1 − 2ε), where L is the loss of DPO.

    Expected over p this is soft DPO at the label (p − ε) / (1 − 2ε), which may lie outside [0, 1]: the loss is not bounded
    below, by design.

    Args: flip_rate: ε < ½, the share of labels that are wrong. (With ε := 1 − p per row, p = ½ would divide by zero.)
    Source: Ray Chowdhury et al. 2024, arXiv 2403.00409, eq. 12.
    """
    unbiased = (p.float() - flip_rate) / (1.0 - 2.0 * flip_rate)
    return dpo(chosen, rejected, ref_chosen, ref_rejected, unbiased, beta)


def ipo(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    p: Tensor,
    tau: float = 0.1,
    lengths: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Identity preference optimisation: (h − (2p − 1) / 2τ)².

    This is the expectation over the label of (±h − 1 / 2τ)² less its constant p (1 − p) / τ², so the gradient is the same
    and the least loss is zero.

    Args: tau: the strength of the pull to the reference. lengths: tokens of the chosen and of the rejected responses, [B]
        each, to average the log-ratios per token (as the authors do, by TRL's account); None for sums, as printed.
    Source: Azar et al. 2023, arXiv 2310.12036, eq. 17; soft labels as in Furuta et al. 2024, arXiv 2409.06691.
    """
    better, worse = chosen.float() - ref_chosen.float(), rejected.float() - ref_rejected.float()
    if lengths is not None:
        better, worse = better / lengths[0].clamp(min=1), worse / lengths[1].clamp(min=1)
    return (better - worse - (2.0 * p.float() - 1.0) / (2.0 * tau)) ** 2


def kto_baseline(policy: Tensor, reference: Tensor) -> Tensor:
    """z₀, a scalar without gradient: the mean log-ratio of mismatched prompts and completions, at least 0.

    Args: policy, reference: log-probabilities [B] of completions under prompts that they do not belong to.
    Source: Ethayarajh et al. 2024, arXiv 2402.01306, section 4.1.
    """
    return (policy.detach().float() - reference.detach().float()).mean().clamp(min=0.0)


def kto(
    policy: Tensor,
    reference: Tensor,
    p: Tensor,
    z0: Tensor,
    beta: float = 0.1,
    desirable: float = 1.0,
    undesirable: float = 1.0,
) -> Tensor:
    """Kahneman–Tversky optimisation of single completions. With r = policy − reference:

    p λ_D (1 − σ(β (r − z₀))) + (1 − p) λ_U (1 − σ(β (z₀ − r)))

    Args: policy, reference: log-probabilities [B] of completions. p: [B], the probability that the completion is desirable
        (1 and 0 are the paper's labels). z0: scalar, see ``kto_baseline``. desirable, undesirable: λ_D and λ_U; the authors
        advise λ_D n_D / (λ_U n_U) between 1 and 3/2.
    Source: Ethayarajh et al. 2024, arXiv 2402.01306, eq. 8.
    """
    lead = beta * (policy.float() - reference.float() - z0.detach().float())
    return _expected(desirable * torch.sigmoid(-lead), undesirable * torch.sigmoid(lead), p.float())


def orpo(chosen: Tensor, rejected: Tensor, p: Tensor, weight: float = 0.1) -> Tensor:
    """Odds-ratio preference optimisation, without a reference. With o(a) = log (P / (1 − P)), P = exp a:

    −p c − (1 − p) r − λ (p log σ(o(c) − o(r)) + (1 − p) log σ(o(r) − o(c)))

    Args: chosen, rejected: *average* log-probabilities per token [B]. weight: λ.
    Source: Hong et al. 2024, arXiv 2403.07691, eq. 6 and 7.
    """
    chosen, rejected, p = chosen.float(), rejected.float(), p.float()
    lead = _log_odds(chosen) - _log_odds(rejected)
    return _expected(-chosen - weight * logsigmoid(lead), -rejected - weight * logsigmoid(-lead), p)


def cpo(
    chosen: Tensor, rejected: Tensor, nll_chosen: Tensor, nll_rejected: Tensor, p: Tensor, beta: float = 0.1, alpha: float = 1.0
) -> Tensor:
    """Contrastive preference optimisation, without a reference:

    p (α nll_c − log σ(β (c − r))) + (1 − p) (α nll_r − log σ(β (r − c)))

    Args: nll_chosen, nll_rejected: negative log-likelihoods [B], per token as in the authors' code. alpha: their weight.
    Source: Xu et al. 2024, arXiv 2401.08417, eq. 3 to 5.
    """
    lead = beta * (chosen.float() - rejected.float())
    better, worse = alpha * nll_chosen.float() - logsigmoid(lead), alpha * nll_rejected.float() - logsigmoid(-lead)
    return _expected(better, worse, p.float())


def simpo(chosen: Tensor, rejected: Tensor, p: Tensor, beta: float = 2.0, gamma: float = 1.0) -> Tensor:
    """Simple preference optimisation, without a reference:

    −p log σ(β (c − r) − γ) − (1 − p) log σ(β (r − c) − γ)

    Args: chosen, rejected: *average* log-probabilities per token [B]. gamma: the margin that the better response should
        have; the authors advise γ/β between .3 and .8.
    Source: Meng et al. 2024, arXiv 2405.14734, eq. 6.
    """
    lead = beta * (chosen.float() - rejected.float())
    return _expected(-logsigmoid(lead - gamma), -logsigmoid(-lead - gamma), p.float())


def both_orders(chosen_first: Tensor, chosen_second: Tensor, p: Tensor, consistency: float = 0.0) -> Tensor:
    """A critic's loss on a pair that it compares in both orders: the mean over orders of the soft cross-entropy of the labels,

    −t_A log P(A) − t_B log P(B), with t = (p, 1 − p) where ``chosen`` stands first and (1 − p, p) where it stands second,

    plus λ (q₁ − q₂)², q being the probability that ``chosen`` is better in either order, of the two labels alone.
    P is over the whole vocabulary, so the loss also moves probability onto the labels.

    Args: chosen_first, chosen_second: log P of the labels A and B [B, 2], in either order. p: [B]. consistency: λ.
    Returns: losses [B].
    Source: soft labels as in Lee et al. 2023, arXiv 2309.00267 §2; both orders in one step as in J1, arXiv 2505.10320.
    """
    first, second = chosen_first.float(), chosen_second.float().flip(-1)
    entropy = _expected(-(first + second)[:, 0] / 2, -(first + second)[:, 1] / 2, p.float())
    q1, q2 = first.softmax(-1)[:, 0], second.softmax(-1)[:, 0]
    return entropy + consistency * (q1 - q2) ** 2


def reasoned(rationale: Tensor, labels: Tensor, p: Tensor) -> Tensor:
    """A critic's loss on a rationale and the label that follows it: −r̄ − p log P(A) − (1 − p) log P(B), so that the one token
    of the label counts as much as the whole rationale.

    Args: rationale: r̄, the mean log-probability of the rationale's tokens [B]. labels: log P of A and B after it [B, 2].
        p: [B], the probability that the response shown as A is better.
    Returns: losses [B].
    Source: rationales that lead to the right answer are learnt in Zelikman et al. 2022, arXiv 2203.14465 §3.
    """
    labels = labels.float()
    return _expected(-labels[:, 0], -labels[:, 1], p.float()) - rationale.float()


def scored_pair(chosen: Tensor, rejected: Tensor, p: Tensor) -> Tensor:
    """A critic's loss on a pair whose responses it scores one by one, [B]: the cross-entropy of p with the probability that
    independent draws from the two distributions over the scale say so, ties halved, and −log of the mass on the scale
    (``log_mass``).

    Args: chosen, rejected: log P of the C labels [B, C], from worst to best. p: [B].
    """
    chosen, rejected = chosen.float(), rejected.float()
    q = preferred(chosen, rejected).clamp(ODDS_EPSILON, 1 - ODDS_EPSILON)
    mass = (log_mass(chosen) + log_mass(rejected)) / 2
    return _expected(-q.log(), -torch.log1p(-q), p.float()) - mass


def log_mass(labels: Tensor) -> Tensor:
    """log of the probability M on the labels together, [B], whose gradient raises the logit of every label alike.

    The gradient of log M itself raises the likeliest label most. A model that puts little on the labels at first then ends
    with all of it on one of them, whatever the response, and has nothing left to tell responses apart by. With

        (1 − M) ∇ mean log P(c) + M ∇ log M

    (M in front of a ∇ taken as it is) each of the C labels' logits gets (1 − M) / C, and any other token's −P, as in ∇ log M.

    Args: labels: log P of the C labels [B, C].
    """
    value = labels.logsumexp(-1)
    mass = value.detach().exp()
    moved = (1 - mass) * labels.mean(-1) + mass * value
    return moved + (value - moved).detach()


def preferred(chosen: Tensor, rejected: Tensor) -> Tensor:
    """P(chosen's label > rejected's) + ½ P(equal), [B], of log-probabilities [B, C] of the labels from worst to best."""
    first, second = chosen.softmax(-1), rejected.softmax(-1)
    return (first * (second.cumsum(-1) - second / 2)).sum(-1)


def _expected(if_chosen: Tensor, if_rejected: Tensor, p: Tensor) -> Tensor:
    """The expectation of a loss over which response is better, [B]."""
    return p * if_chosen + (1.0 - p) * if_rejected


def _margin(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor) -> Tensor:
    """h, [B]: by how much more than the reference the policy prefers ``chosen``."""
    return (chosen.float() - ref_chosen.float()) - (rejected.float() - ref_rejected.float())


def _log_odds(logprob: Tensor) -> Tensor:
    """log (P / (1 − P)) of P = exp logprob, [B]."""
    logprob = logprob.clamp(max=-ODDS_EPSILON)
    # Each form of log (1 − exp x) loses its digits where the other is exact.
    near = logprob > -0.7
    complement = torch.where(near, torch.log(-torch.expm1(logprob)), torch.log1p(-torch.exp(logprob)))
    return logprob - complement
