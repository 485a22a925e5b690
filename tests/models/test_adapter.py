"""The fused layer does what peft's does, and keeps less."""

import copy

import pytest
import torch
from peft.tuners.lora import Linear
from transformers import LlamaConfig, LlamaForCausalLM

from rlaif.models.adapter import FusedLinear, fuse
from rlaif.models.load import with_adapter

IDS = torch.arange(256).reshape(4, 64) % 20


@pytest.fixture
def adapted():
    """A small model with an adapter that is not the identity, as peft has it."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, vocab_size=20, attention_bias=True
    )
    model = with_adapter(LlamaForCausalLM(config), "causal", 3)
    for name, value in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.2)
    return model


def pass_of(model, bf16=False):
    """Logits, gradients, and the bytes that were kept for the backward pass."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = model(IDS, use_cache=False).logits.float()
    logits.log_softmax(-1)[..., 4].sum().backward()
    gradients = {name: value.grad for name, value in model.named_parameters() if value.requires_grad}
    return logits.detach(), gradients, sum(kept.values())


def test_values_and_gradients_are_pefts(adapted):
    fused = copy.deepcopy(adapted)
    fuse(fused)
    assert any(type(layer) is FusedLinear for layer in fused.modules())
    assert not any(type(layer) is Linear for layer in fused.modules())
    (expected, wanted, _), (found, gradients, _) = pass_of(adapted), pass_of(fused)
    torch.testing.assert_close(found, expected)
    assert gradients.keys() == wanted.keys() and len(gradients) == 2 * 7 * 2
    for name, value in wanted.items():
        torch.testing.assert_close(gradients[name], value, atol=1e-6, rtol=1e-5)


def test_less_is_kept_in_half_precision(adapted):
    adapted.to(torch.bfloat16)
    for name, value in adapted.named_parameters():
        if "lora_" in name:
            value.data = value.data.float()
    fused = copy.deepcopy(adapted)
    fuse(fused)
    (expected, _, more), (found, gradients, less) = pass_of(adapted, bf16=True), pass_of(fused, bf16=True)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)
    assert less < 0.85 * more and all(value.dtype == torch.float32 for value in gradients.values())


def test_a_second_adapter_none_and_a_merged_one_are_pefts_too(adapted):
    adapted.add_adapter("other", adapted.peft_config["default"])
    for name, value in adapted.named_parameters():
        if "lora_B.other" in name:
            torch.nn.init.normal_(value, std=0.3)
    fused = copy.deepcopy(adapted)
    fuse(fused)

    def views(model):
        found = []
        with torch.no_grad():
            for name in ("default", "other"):
                model.set_adapter(name)
                found.append(model(IDS).logits)
            with model.disable_adapter():
                found.append(model(IDS).logits)
        return [*found, model.merge_and_unload()(IDS).logits.detach()]

    for one, other in zip(views(adapted), views(fused), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
