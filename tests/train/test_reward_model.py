"""Ensembles whose members differ, and scores in the reference policy's scale."""

from __future__ import annotations

import json
import statistics
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlaif.errors import RunFailed, UsageError
from rlaif.train.batches import collate
from rlaif.train.items import Item, Tokens
from rlaif.train.methods.reward import Reward
from rlaif.train.predict import RewardModel
from rlaif.train.reward_model import bootstrap, normalisation
from tests.reference import losses as oracle

ITEMS = [Item((Tokens([9, 1 + row, row], 1), Tokens([9, 2, 3 + row], 1)), 0.25 * (row % 5)) for row in range(400)]


def asked(row):
    return ({"role": "user", "content": row["prompt"]},)


def scoring(logits):
    """A model that gives these [S·B, M] whatever it is asked."""
    return lambda input_ids, attention_mask: SimpleNamespace(logits=logits)


def test_a_rows_weights_are_its_own():
    whole = bootstrap(ITEMS, 5, seed=3)
    assert bootstrap(ITEMS[7:3:-1], 5, seed=3) == whole[7:3:-1]
    assert [item.weights[:2] for item in whole] == [item.weights for item in bootstrap(ITEMS, 2, seed=3)]
    assert all(item.weights != other.weights for item, other in zip(whole, bootstrap(ITEMS, 5, seed=4), strict=True))


def test_members_weigh_rows_differently_and_alike_on_average():
    weights = torch.tensor([item.weights for item in bootstrap(ITEMS, 5, seed=0)])
    assert torch.allclose(weights.mean(0), torch.ones(5), atol=0.15)
    assert torch.allclose(weights.var(0), torch.ones(5), atol=0.5)
    assert (torch.corrcoef(weights.T) - torch.eye(5)).abs().max() < 0.2


def test_one_member_learns_from_the_rows_as_they_are():
    assert bootstrap(ITEMS, 1, seed=0) == ITEMS


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 99), st.booleans())
def test_the_loss_is_each_members_own_by_its_weights(rows, members, seed, weighted):
    items = bootstrap(ITEMS[:rows], members, seed) if weighted else ITEMS[:rows]
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(2 * rows, members, generator=draw).requires_grad_()
    step = Reward(members=members).step(scoring(logits), collate(items, 0))
    wanted = 0.0
    for row, item in enumerate(items):
        for member, weight in enumerate(item.weights or [1.0] * members):
            wanted += weight * oracle.bradley_terry(logits[row, member].item(), logits[rows + row, member].item(), item.p)
    assert step.total.item() == pytest.approx(wanted / members, rel=1e-4)


def test_accuracy_is_of_the_members_together():
    """Two of three members are wrong by little, the third is right by much."""
    logits = torch.tensor([[0.0, 0.0, 3.0], [1.0, 1.0, 0.0]])
    step = Reward(members=3).step(scoring(logits), collate([Item(ITEMS[0].sequences, 0.9)], 0))
    assert step.metrics["accuracy"].item() == 1
    assert step.metrics["margin"].item() == pytest.approx(1 / 3)


@pytest.mark.parametrize("lora", [0, 4])
def test_an_ensembles_members_learn_and_differ(train, log, pairs, write, tmp_path, lora):
    options = {"settings": {"members": 3}, "lora": lora, "learning_rate": 3e-3, "max_steps": 12}
    train("reward", write(pairs), **options)
    model = RewardModel(str(tmp_path / "run" / "model"))
    prompts = [asked(row) for row in pairs]
    margins = model.members(prompts, [row["chosen"] for row in pairs]) - model.members(
        prompts, [row["rejected"] for row in pairs]
    )
    assert margins.shape == (len(pairs), 3)
    assert ((margins > 0).float().mean(0) > 0.8).all()
    assert margins.std(-1).min() > 1e-3
    assert log()[-1]["accuracy"] > 0.8


def test_how_a_batch_is_cut_does_not_change_an_ensembles_step(train, log, pairs, write):
    source = write(pairs)
    for micro in (2, 8):
        train("reward", source, f"by-{micro}", settings={"members": 3}, micro_batch=micro, max_steps=1)
    (one,), (other,) = log("by-2"), log("by-8")
    for name in ("loss", "grad_norm"):
        assert one[name] == pytest.approx(other[name], rel=1e-4)


@pytest.mark.parametrize("given_rows", [True, False])
def test_reference_samples_score_nought_give_or_take_one(train, pairs, write, tmp_path, given_rows):
    """As `rlaif sample` writes them, or the training rows' own responses; some others do not."""
    sampled = [
        {"prompt": row["prompt"], "responses": [{"text": row["rejected"]}, {"text": row["chosen"]}]} for row in pairs[:4]
    ]
    settings = {"members": 2, "normalise": write(sampled, "samples.jsonl")} if given_rows else {"members": 2}
    train("reward", write(pairs), settings=settings, learning_rate=3e-3, max_steps=12)
    model, rows = RewardModel(str(tmp_path / "run" / "model")), pairs[:4] if given_rows else pairs
    scores = torch.cat(
        [model.members([asked(row) for row in rows], [row[side] for row in rows]) for side in ("chosen", "rejected")]
    )
    assert torch.allclose(scores.mean(0), torch.zeros(2), atol=1e-4)
    assert torch.allclose(scores.std(0, correction=0), torch.ones(2), atol=1e-4)
    assert abs(model.scores([asked(row) for row in pairs], [row["chosen"] for row in pairs]).mean()) > 0.1


def test_samples_that_cannot_be_scored_are_refused_before_training(train, pairs, write, tmp_path):
    with pytest.raises(UsageError, match="--normalise"):
        train("reward", write(pairs), settings={"normalise": write([{"prompt": "hi"}], "samples.jsonl")})
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_model_that_cannot_tell_samples_apart_has_no_scale():
    class Same(torch.nn.Linear):
        def forward(self, input_ids, attention_mask):
            return SimpleNamespace(logits=torch.ones(len(input_ids), 2))

    with pytest.raises(RunFailed, match="no scale"):
        normalisation(Same(1, 1), [Tokens([1, 2], 1), Tokens([3], 1)], 0)


def test_normalisation_is_the_samples_mean_and_spread():
    class Sum(torch.nn.Linear):
        def forward(self, input_ids, attention_mask):
            total = (input_ids * attention_mask).sum(-1, keepdim=True).float()
            return SimpleNamespace(logits=torch.cat([total, -2 * total], -1))

    lengths = [1, 4, 2, 7, 7]
    found = normalisation(Sum(1, 1), [Tokens([1] * length, 1) for length in lengths], 0)
    mean, std = statistics.fmean(lengths), statistics.pstdev(lengths)
    assert found["mean"] == pytest.approx([mean, -2 * mean])
    assert found["std"] == pytest.approx([std, 2 * std])


def test_the_models_configuration_says_how_to_read_its_scores(train, pairs, write, tmp_path):
    train("reward", write(pairs), settings={"members": 2}, context=64, max_steps=1)
    said = json.loads((tmp_path / "run" / "model" / "config.json").read_text())["rlaif_reward"]
    assert said["context"] == 64
    assert len(said["mean"]) == len(said["std"]) == 2


def test_an_ensemble_of_nobody_is_refused(train, pairs, write):
    with pytest.raises(UsageError, match="--members 0"):
        train("reward", write(pairs), settings={"members": 0})


def test_an_ensemble_does_not_grow_out_of_a_model_with_other_heads(train, pairs, write, tmp_path):
    train("reward", write(pairs), "first", max_steps=1)
    model = str(tmp_path / "first" / "model")
    assert train("reward", write(pairs), "again", model=model, max_steps=1)["status"] == "finished"
    with pytest.raises(UsageError, match="--members"):
        train("reward", write(pairs), "more", model=model, settings={"members": 3}, max_steps=1)
