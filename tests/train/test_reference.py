"""The reference is the base: under an adapter, and beside all weights, to the same numbers."""

from __future__ import annotations

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from rlaif.errors import UsageError
from rlaif.models.load import find_base, load, save, with_adapter
from rlaif.settings import configure
from rlaif.train.batches import collate
from rlaif.train.config import configuration
from rlaif.train.data import read_data
from rlaif.train.objectives import logprobs
from rlaif.train.reference import with_reference
from tests.tiny import byte_tokenizer, save_model


@pytest.fixture
def base():
    return find_base("lab:policy", "causal", None, "float32", False, chat=True)


@pytest.fixture
def items(pairs, write, base, tmp_path):
    config = configure(configuration("dpo"), source=write(pairs), model="lab:policy", out=tmp_path / "run")
    return read_data(config, base).items


def values(model, items, pad):
    with torch.no_grad():
        return logprobs(model, collate(items, pad))[0]


def test_the_cached_reference_is_what_an_adapters_base_says(items, base, tmp_path):
    model = load(base, "causal")
    found = with_reference(items, tmp_path / "cache.safetensors", model, base.pad, lambda done: None)
    adapted = with_adapter(model, "causal", rank=4)
    for name, parameter in adapted.named_parameters():
        if "lora" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    moved = values(adapted, items, base.pad)
    with adapted.disable_adapter():
        wanted = values(adapted, items, base.pad)
    cached = collate(found, base.pad).reference
    assert torch.allclose(cached, wanted, atol=1e-4)
    assert not torch.allclose(cached, moved, atol=0.1)


def test_a_cache_of_other_rows_or_a_broken_one_is_not_used(items, base, tmp_path):
    cache, model = tmp_path / "cache.safetensors", load(base, "causal")
    whole = with_reference(items, cache, model, base.pad, lambda done: None)
    fewer = with_reference(items[:3], cache, model, base.pad, lambda done: None)
    cache.write_bytes(b"not a tensor file")
    again = with_reference(items, cache, model, base.pad, lambda done: None)
    for one, other in ((whole, fewer), (whole, again)):
        for first, second in zip(one, other, strict=False):
            assert first.reference == pytest.approx(second.reference, abs=1e-4)
    assert len(again) == len(items)


def test_lora_and_all_weights_begin_from_the_same_place(train, log, pairs, write):
    for out, rank in (("full", 0), ("lora", 4)):
        train("dpo", write(pairs), out, lora=rank, max_steps=3)
    full, lora = log("full"), log("lora")
    assert full[0]["loss"] == pytest.approx(lora[0]["loss"], abs=1e-5)
    assert full[0]["logp_chosen"] == pytest.approx(lora[0]["logp_chosen"], abs=1e-3)
    assert lora[-1]["margin"] > lora[0]["margin"]


def test_a_merged_adapter_is_the_adapted_model(items, base, tmp_path):
    adapted = with_adapter(load(base, "causal"), "causal", rank=4)
    for name, parameter in adapted.named_parameters():
        if "lora" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    before = values(adapted, items, base.pad)
    save(adapted, base, tmp_path / "merged")
    after = values(load(base._replace(source=str(tmp_path / "merged")), "causal"), items, base.pad)
    assert torch.allclose(before, after, atol=1e-3)


@pytest.mark.parametrize(("ends", "pad"), [({"eos_token": "<|im_end|>"}, "<|im_end|>"), ({}, None)])
def test_a_tokenizer_without_a_pad_token_pads_with_its_end_or_not_at_all(tmp_path, ends, pad):
    save_model(tmp_path)
    whole = byte_tokenizer()
    bare = PreTrainedTokenizerFast(tokenizer_object=whole.backend_tokenizer, chat_template=whole.chat_template, **ends)
    bare.save_pretrained(tmp_path)
    if pad is None:
        with pytest.raises(UsageError, match="neither a pad nor an end-of-text token"):
            find_base(str(tmp_path), "causal", None, "float32", False, chat=True)
    else:
        assert find_base(str(tmp_path), "causal", None, "float32", False, chat=True).pad == whole.convert_tokens_to_ids(pad)


def test_dropout_is_off(tmp_path):
    """In training mode, twice the same: noise in the policy would look like a distance from the reference."""
    tokenizer = byte_tokenizer()
    torch.manual_seed(0)
    shape = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128, "resid_pdrop": 0.5, "embd_pdrop": 0.5}
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), attn_pdrop=0.5, **shape)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = load(find_base(str(tmp_path), "causal", None, "float32", False, chat=True), "causal").train()
    ids = torch.arange(5, 25)[None]
    assert torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)
