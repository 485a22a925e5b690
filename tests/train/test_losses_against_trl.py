"""The same logits through TRL's trainers and through ours. TRL is an oracle here and nothing else."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import torch

from rlaif.models.logprobs import sequence_logprobs
from rlaif.train import losses

pytest.importorskip("trl", exc_type=ImportError)

B, T, V = 3, 9, 11
"""Pairs, tokens, vocabulary."""
PROMPT = 3


@pytest.fixture
def batch():
    """Two models' logits on chosen and rejected sequences stacked [2B, T, V], with responses of unlike lengths."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(V, (2 * B, T), generator=draw)
    lengths = torch.tensor([6, 3, 5, 2, 6, 4])
    mask = (torch.arange(T) >= PROMPT) & (torch.arange(T) < PROMPT + lengths[:, None])
    policy, reference = (3 * torch.randn(2 * B, T, V, generator=draw) for _ in range(2))
    return SimpleNamespace(ids=ids, mask=mask, policy=policy, reference=reference)


def trls_model(logits):
    """What TRL asks of a model: per-token log-probabilities of the labels, zero where there is no label."""

    def call(input_ids, labels, **_):
        logprobs = logits[:, :-1].log_softmax(-1).gather(-1, input_ids[:, 1:, None]).squeeze(-1)
        logprobs = logprobs.masked_fill(labels[:, 1:] == -100, 0.0)
        zeros = torch.zeros_like(logprobs)
        logged = {"entropy": zeros, "mean_logits": zeros, "is_top1": zeros.bool()}
        return SimpleNamespace(log_probs=logprobs, logits=logits, **logged)

    return call


def trainer(**settings):
    """A stand-in for a TRL trainer: its settings; anything else it does (gathering, logging) is swallowed."""
    found = MagicMock()
    found.accelerator.device = torch.device("cpu")
    found.accelerator.gather_for_metrics.side_effect = lambda value: value
    found.accelerator.gather.side_effect = lambda value: value
    found._metrics = {"train": defaultdict(list), "eval": defaultdict(list)}
    found._total_train_tokens, found._tp_size = 0, 1
    for name, value in settings.items():
        setattr(found, name, value)
    return found


def ours(batch):
    """(chosen, rejected, ref_chosen, ref_rejected) sums, and the lengths of chosen and rejected."""
    policy, lengths = sequence_logprobs(batch.policy, batch.ids, batch.mask)
    reference, _ = sequence_logprobs(batch.reference, batch.ids, batch.mask)
    return (*policy.chunk(2), *reference.chunk(2)), lengths.chunk(2)


@pytest.mark.parametrize("name", ["sigmoid", "ipo", "robust"])
def test_dpo_robust_dpo_and_ipo(batch, name):
    from trl import DPOTrainer

    stand_in = trainer(
        loss_types=[name],
        loss_weights=[1.0],
        beta=0.3,
        label_smoothing=0.2 if name == "robust" else 0.0,
        f_divergence_type="reverse_kl",
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=True,
        use_weighting=False,
    )
    sums, lengths = ours(batch)
    inputs = {"input_ids": batch.ids, "attention_mask": torch.ones_like(batch.ids), "completion_mask": batch.mask.long()}
    inputs |= {"ref_chosen_logps": sums[2], "ref_rejected_logps": sums[3]}
    theirs = DPOTrainer._compute_loss(stand_in, trls_model(batch.policy), inputs, False)
    p = torch.ones(B)
    found = {
        "sigmoid": lambda: losses.dpo(*sums, p, beta=0.3),
        "ipo": lambda: losses.ipo(*sums, p, tau=0.3, lengths=lengths),
        "robust": lambda: losses.robust_dpo(*sums, p, beta=0.3, flip_rate=0.2),
    }[name]()
    assert found.mean().item() == pytest.approx(theirs.item(), rel=1e-5)


def test_kto(batch):
    from trl import KTOTrainer

    mismatched = batch.ids.roll(1, 0)
    wrong, _ = sequence_logprobs(batch.policy, mismatched, batch.mask)
    wrong_reference, _ = sequence_logprobs(batch.reference, mismatched, batch.mask)
    policy, _ = sequence_logprobs(batch.policy, batch.ids, batch.mask)
    reference, _ = sequence_logprobs(batch.reference, batch.ids, batch.mask)
    label = torch.tensor([1, 0, 1, 1, 0, 0])
    for drift in (0.0, 50.0):  # a z₀ that is clamped at 0, and one that is not
        stand_in = trainer(
            loss_type="kto",
            beta=0.2,
            desirable_weight=1.2,
            undesirable_weight=0.7,
            aux_loss_enabled=False,
            calculate_KL=True,
            precompute_ref_logps=True,
        )
        stand_in._compute_kl_logps.side_effect = lambda model, inputs, drift=drift: wrong + drift
        inputs = {"input_ids": batch.ids, "attention_mask": torch.ones_like(batch.ids), "label": label}
        inputs |= {"completion_mask": batch.mask.long(), "ref_logps": reference, "ref_KL_logps": wrong_reference}
        theirs = KTOTrainer._compute_loss(stand_in, trls_model(batch.policy), inputs, False)
        z0 = losses.kto_baseline(wrong + drift, wrong_reference)
        found = losses.kto(policy, reference, label, z0, beta=0.2, desirable=1.2, undesirable=0.7)
        assert found.mean().item() == pytest.approx(theirs.item(), rel=1e-5)


def test_reward(batch):
    from trl import RewardTrainer

    scores, margin = 3 * torch.randn(2 * B, 1), torch.tensor([0.5, 0.0, 1.0])
    stand_in = trainer(args=SimpleNamespace(center_rewards_coefficient=0.05))
    inputs = {"attention_mask": torch.ones(2 * B, T), "margin": margin}
    theirs = RewardTrainer.compute_loss(stand_in, lambda **_: SimpleNamespace(logits=scores), inputs)
    found = losses.bradley_terry(*scores.squeeze(-1).chunk(2), torch.ones(B), margin, centre=0.05)
    assert found.mean().item() == pytest.approx(theirs.item(), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cpo_with_their_label_smoothing_as_our_soft_label(batch, smoothing):
    cpo = pytest.importorskip("trl.experimental.cpo", exc_type=ImportError)
    (chosen, rejected, _, _), _ = ours(batch)
    stand_in = trainer(loss_type="sigmoid", beta=0.1, label_smoothing=smoothing, alpha=0.0)
    theirs, *_ = cpo.CPOTrainer.cpo_loss(stand_in, chosen, rejected)
    zero = torch.zeros(B)
    found = losses.cpo(chosen, rejected, zero, zero, torch.full((B,), 1 - smoothing), beta=0.1)
    assert torch.allclose(found, theirs, rtol=1e-5)


def test_simpo(batch):
    cpo = pytest.importorskip("trl.experimental.cpo", exc_type=ImportError)
    (chosen, rejected, _, _), (m, n) = ours(batch)
    stand_in = trainer(loss_type="simpo", beta=2.5, simpo_gamma=1.4, label_smoothing=0.0, alpha=0.0)
    theirs, *_ = cpo.CPOTrainer.cpo_loss(stand_in, chosen / m, rejected / n)
    found = losses.simpo(chosen / m, rejected / n, torch.ones(B), beta=2.5, gamma=1.4)
    assert torch.allclose(found, theirs, rtol=1e-5)


def test_orpo(batch):
    orpo = pytest.importorskip("trl.experimental.orpo", exc_type=ImportError)
    (chosen, rejected, _, _), (m, n) = ours(batch)
    preference, *_ = orpo.ORPOTrainer.odds_ratio_loss(trainer(beta=0.3), chosen / m, rejected / n)
    found = losses.orpo(chosen / m, rejected / n, torch.ones(B), weight=0.3)
    assert torch.allclose(found, -chosen / m - preference, rtol=1e-5)
