"""Weights for other programs: adapters merged without a trace, and a check that lets no stale or mistaken sampler through."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlaif.errors import RunFailed
from rlaif.models.load import with_adapter
from rlaif.rl.networks import POLICY, VALUE, Policy
from rlaif.rl.samplers.transformers import TransformersSampler
from rlaif.rl.samplers.weights import _is_moved, _noise, merged_weights, prove, save_adapter
from tests.tiny import save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def model(folder):
    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.fixture
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


def adapted(model):
    """Under a policy's adapter that does something, and a value net's that must not be seen."""
    model = with_adapter(model, "causal", 4)
    model.add_adapter(VALUE, model.peft_config[POLICY])
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.copy_(torch.randn(value.shape, generator=generator))
    return model


def bits(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_the_policys_adapter_alone_is_what_peft_reads(model, folder, tmp_path):
    """On the base it gives the policy's logits, and the value net's is not in it."""
    policy, ids = adapted(model), torch.arange(24).view(2, 12)
    policy.set_adapter(POLICY)
    save_adapter(policy, tmp_path / "adapter")
    again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tmp_path / "adapter")
    with torch.no_grad():
        torch.testing.assert_close(again(input_ids=ids).logits, policy(input_ids=ids).logits)
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


def test_the_policys_adapter_is_merged_and_the_model_is_left_as_it_is(model):
    model = adapted(model)
    model.set_adapter(VALUE)
    before = bits(model)
    found = dict(merged_weights(model))
    merged = copy.deepcopy(model).merge_and_unload(adapter_names=[POLICY])
    assert set(found) == {name for name, _ in merged.named_parameters()}
    for name, value in merged.named_parameters():
        torch.testing.assert_close(found[name], value.data)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.active_adapter == VALUE


def test_without_an_adapter_the_weights_are_the_models_own(model):
    found = dict(merged_weights(model))
    assert set(found) == {name for name, _ in model.named_parameters()}
    assert all(
        found[name] is not value and found[name].data_ptr() == value.data_ptr() for name, value in model.named_parameters()
    )


@pytest.mark.parametrize("lora", [False, True])
def test_a_sampler_of_these_weights_passes_and_they_are_restored_to_the_bit(model, tokenizer, lora):
    model = adapted(model) if lora else model
    policy = Policy(model, POLICY if lora else None, bf16=False)
    before = bits(model)
    sampler = TransformersSampler(policy, tokenizer, [tokenizer.eos_token_id], 12, 4096, ahead=True)
    prove(sampler, policy, tokenizer, 1e-3)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(value, before[name]) for name, value in sampler._policy.model.state_dict().items())


@pytest.mark.parametrize("lora", [False, True])
def test_a_sampler_that_stays_behind_is_refused(model, tokenizer, lora, monkeypatch):
    model = adapted(model) if lora else model
    policy = Policy(model, POLICY if lora else None, bf16=False)
    before = bits(model)
    sampler = TransformersSampler(policy, tokenizer, [tokenizer.eos_token_id], 12, 4096, ahead=True)
    monkeypatch.setattr(sampler, "update", lambda model: None)
    with pytest.raises(RunFailed, match="--sampler transformers"):
        prove(sampler, policy, tokenizer, 0.1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_log_probabilities_from_before_the_temperature_are_refused(model, tokenizer, monkeypatch):
    policy = Policy(model, None, bf16=False)
    sampler = TransformersSampler(policy, tokenizer, [tokenizer.eos_token_id], 12, 4096, ahead=False)
    draw = sampler.sample
    monkeypatch.setattr(sampler, "sample", lambda queries, n, temperature, seed: draw(queries, n, 1.0, seed))
    with pytest.raises(RunFailed, match="temperature"):
        prove(sampler, policy, tokenizer, 1e-3)


@pytest.mark.parametrize("lora", [False, True])
def test_of_many_layers_three_are_moved_with_what_is_outside_of_them(tmp_path, lora):
    """Copies of all weights, and noise for each, would take minutes at some billion parameters."""
    model = AutoModelForCausalLM.from_pretrained(save_model(tmp_path, num_hidden_layers=6))
    policy = Policy(adapted(model) if lora else model, POLICY if lora else None, bf16=False)
    moved = [name for name in policy.parameters() if _is_moved(name, policy)]
    layers = {int(name.split("layers.")[1].split(".")[0]) for name in moved if "layers." in name}
    assert layers == {0, 2, 5}
    assert lora or {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"} <= set(moved)


def test_noise_has_the_variance_of_one_number_for_each_weight():
    noise = _noise(torch.Size((400, 300)), torch.Generator().manual_seed(0))
    assert noise.shape == (400, 300) and noise.std().item() == pytest.approx(1, abs=0.15)
    assert torch.linalg.matrix_rank(noise) == 1 and _noise(torch.Size((7,)), torch.Generator()).shape == (7,)
