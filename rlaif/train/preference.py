"""The offline methods on log-probabilities: dpo, ipo, kto, orpo, cpo, simpo, and sft."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rlaif.train import losses
from rlaif.train.batches import Batch
from rlaif.train.config import Cpo, Dpo, Ipo, Kto, Orpo, Sft, Simpo
from rlaif.train.objectives import Objective, Step, accuracy, by_row, logprobs

LogprobSettings = Sft | Dpo | Ipo | Kto | Orpo | Cpo | Simpo


def objective(settings: LogprobSettings) -> Objective:
    """The step of the method whose settings these are."""

    def step(model: Any, batch: Batch) -> Step:
        if isinstance(settings, Kto):
            return _kto(model, batch, settings)
        sums, lengths = logprobs(model, batch)
        if isinstance(settings, Sft):
            return Step(-sums.sum(), {})
        return _pairs(settings, batch, sums, lengths)

    return step


def _pairs(settings: Dpo | Ipo | Orpo | Cpo | Simpo, batch: Batch, sums: Tensor, lengths: Tensor) -> Step:
    """sums, lengths: [2B]."""
    chosen, rejected = sums.chunk(2)
    averages = sums / lengths
    mean_chosen, mean_rejected = averages.chunk(2)
    p = batch.p
    if isinstance(settings, Dpo | Ipo):
        values = _against_reference(settings, batch, sums, lengths)
        ref_chosen, ref_rejected = batch.reference.chunk(2)
        margin = (chosen - ref_chosen) - (rejected - ref_rejected)
    elif isinstance(settings, Cpo):
        values = losses.cpo(chosen, rejected, -mean_chosen, -mean_rejected, p, settings.beta, settings.alpha)
        margin = chosen - rejected
    elif isinstance(settings, Orpo):
        values, margin = losses.orpo(mean_chosen, mean_rejected, p, settings.weight), mean_chosen - mean_rejected
    else:
        values = losses.simpo(mean_chosen, mean_rejected, p, settings.beta, settings.gamma)
        margin = mean_chosen - mean_rejected
    watched = {"margin": margin, "accuracy": accuracy(margin, p), "logp_chosen": chosen, "logp_rejected": rejected}
    return by_row(values, watched)


def _against_reference(settings: Dpo | Ipo, batch: Batch, sums: Tensor, lengths: Tensor) -> Tensor:
    chosen, rejected = sums.chunk(2)
    ref_chosen, ref_rejected = batch.reference.chunk(2)
    five = (chosen, rejected, ref_chosen, ref_rejected, batch.p)
    if isinstance(settings, Ipo):
        m, n = lengths.chunk(2)
        return losses.ipo(*five, settings.tau, lengths=(m, n) if settings.per_token else None)
    if settings.form == "geometric":
        return losses.geometric_dpo(*five, settings.beta)
    if settings.form == "robust":
        return losses.robust_dpo(*five, settings.beta, settings.flip_rate)
    return losses.dpo(*five, settings.beta)


def mismatch(model: Any, batch: Batch) -> Tensor:
    """[B]: the log-ratios of kto's mismatched completions, of which its baseline is made."""
    rows = slice(len(batch.p), None)
    sums, _ = logprobs(model, _part(batch, rows))
    return sums - batch.reference[rows]


def _kto(model: Any, batch: Batch, settings: Kto) -> Step:
    rows = slice(len(batch.p))
    policy, _ = logprobs(model, _part(batch, rows))
    reference, z0 = batch.reference[rows], batch.baseline
    values = losses.kto(policy, reference, batch.p, z0, settings.beta, settings.desirable, settings.undesirable)
    margin = (2 * batch.p - 1) * (policy - reference)
    return by_row(values, {"margin": margin, "accuracy": accuracy(policy - reference, batch.p), "z0": z0})


def _part(batch: Batch, rows: slice) -> Batch:
    return batch._replace(ids=batch.ids[rows], attention=batch.attention[rows], response=batch.response[rows])
