"""What is refused, or chosen, before any weights are loaded."""

import json

import pytest
import torch
from transformers import AutoTokenizer

from rlaif.errors import UsageError
from rlaif.models.load import find_base, last_layers, load, with_adapter
from tests.tiny import save_model


@pytest.fixture
def folder(tmp_path):
    return save_model(tmp_path / "tiny")


def with_pad(folder, token):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": token})
    tokenizer.save_pretrained(folder)
    return tokenizer.pad_token_id


@pytest.mark.parametrize("kind", ["causal", "sequence-classification"])
def test_a_pad_token_outside_the_embedding_is_refused_with_the_remedy(folder, kind):
    pad = with_pad(folder, "<pad-of-its-own>")
    with pytest.raises(UsageError, match=rf"'<pad-of-its-own>' is number {pad}, .* {pad - 1}: name a pad_token .*or resize"):
        find_base(str(folder), kind, None, "auto", False)


def test_a_new_reward_model_is_not_padded_with_what_ends_a_response(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert find_base(str(folder), "sequence-classification", None, "auto", False).pad == tokenizer.pad_token_id
    end = with_pad(folder, tokenizer.eos_token)
    assert find_base(str(folder), "causal", None, "auto", False).pad == end == tokenizer.eos_token_id
    pad = find_base(str(folder), "sequence-classification", None, "auto", False).pad
    assert pad != end and 0 <= pad < json.loads((folder / "config.json").read_text())["vocab_size"]


def test_a_reward_model_that_is_there_keeps_the_padding_that_it_was_trained_with(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**config, "architectures": ["Qwen3ForSequenceClassification"], "pad_token_id": 7})
    )
    assert find_base(str(folder), "sequence-classification", None, "auto", False).pad == 7
    assert find_base(str(folder), "causal", None, "auto", False).pad == AutoTokenizer.from_pretrained(folder).pad_token_id


def test_a_finished_response_scores_otherwise_than_one_that_was_cut_before_its_end(folder):
    end = with_pad(folder, AutoTokenizer.from_pretrained(folder).eos_token)
    base = find_base(str(folder), "sequence-classification", None, "auto", False)
    model = load(base, "sequence-classification")
    ids = torch.tensor([[5, 6, 7, end], [5, 6, 7, base.pad]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    with torch.no_grad():
        finished, cut = model(input_ids=ids, attention_mask=mask).logits[:, 0].tolist()
        alone = model(input_ids=ids[1:, :3], attention_mask=mask[1:, :3]).logits[0, 0].item()
    assert finished != pytest.approx(cut)
    assert cut == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize(("width", "has", "bf16"), [(512, True, True), (448, True, False), (512, False, False)])
def test_a_wide_model_trains_in_bfloat16_on_a_cpu_that_has_it(tmp_path, monkeypatch, width, has, bf16):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: has)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False)
    save_model(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**settings, "hidden_size": width}))
    assert find_base(str(tmp_path), "causal", None, "auto", False).bf16 is bf16
    assert not find_base(str(tmp_path), "causal", None, "float32", False).bf16


@pytest.mark.parametrize("kind", ["causal", "sequence-classification"])
@pytest.mark.parametrize("tied", [True, False])
def test_only_the_last_layers_and_what_follows_them_learn(tmp_path, kind, tied):
    folder = save_model(tmp_path / "m", num_hidden_layers=3, tie_word_embeddings=tied)
    model = load(find_base(str(folder), kind, None, "auto", False), kind)
    last_layers(model, 1)
    model(input_ids=torch.tensor([[5, 6, 7]]), attention_mask=torch.ones(1, 3)).logits.sum().backward()
    learnt = {name for name, value in model.named_parameters() if value.grad is not None}
    expected = {name for name, _ in model.named_parameters() if ".layers.2." in name} | {"model.norm.weight"}
    if kind == "sequence-classification":
        expected |= {"score.weight"}
    elif not tied:
        expected |= {"lm_head.weight"}
    assert learnt == expected


def test_an_adapter_can_be_of_the_last_layers_alone(folder):
    model = load(find_base(str(folder), "causal", None, "auto", False), "causal")
    adapted = with_adapter(model, "causal", 2, last_layers(model, 1))
    learnt = [name for name, value in adapted.named_parameters() if value.requires_grad]
    assert learnt and all(".layers.1." in name and "lora" in name for name in learnt)


def test_more_layers_than_there_are_is_an_error(folder):
    model = load(find_base(str(folder), "causal", None, "auto", False), "causal")
    with pytest.raises(UsageError, match="--layers 3: the model has 2 layers"):
        last_layers(model, 3)
