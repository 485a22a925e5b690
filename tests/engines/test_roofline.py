"""A roofline against the numbers of a model that is worked out by hand."""

import pytest

from rlaif.engines.roofline import GPUS, Size, Work, hours, named, size_of, sized
from rlaif.errors import UsageError
from tests.tiny import save_model

EIGHT = Size(body=7e9, head=0.6e9, layers=36, width=4096, keys=1024)


def seconds(work, size=EIGHT, gpu="H100"):
    return 3600 * hours(GPUS[gpu], size, work)


def test_reading_many_tokens_is_bound_by_arithmetic():
    once = Work(calls=1e4, computed=5e6, pairs=0, written=0, held=500)
    assert seconds(once) == pytest.approx((2 * 7e9 * 5e6 + 2 * 0.6e9 * 1e4) / 989e12)
    attended = once._replace(pairs=1e9)
    assert seconds(attended) - seconds(once) == pytest.approx(4 * 36 * 4096 * 1e9 / 989e12)
    assert seconds(once.times(3)) == pytest.approx(3 * seconds(once))


def test_reading_few_tokens_and_writing_are_bound_by_memory():
    few = Work(calls=1, computed=10, pairs=50, written=0, held=10)
    assert seconds(few) == pytest.approx(2 * 7.6e9 / 3.35e12)
    written = few._replace(written=256_000, held=0)
    assert seconds(written) - seconds(few) == pytest.approx(1000 * 2 * 7.6e9 / 3.35e12)
    longer = written._replace(held=2000)
    assert seconds(longer) - seconds(written) == pytest.approx(256_000 * 2000 * 2 * 2 * 36 * 1024 / 3.35e12)
    assert seconds(written) == pytest.approx(seconds(written, gpu="L4") * 0.3 / 3.35)


def test_the_flag_names_a_gpu_and_a_size():
    assert named("H100") == ("H100", None) and named("a100:1.5b") == ("A100", 1.5e9)
    for wrong in ("K80", "H100:", "H100:8", "H100:big", "H100:-8B"):
        with pytest.raises(UsageError, match="--gpu"):
            named(wrong)
    assert sized("H100:8B", ("http://one", "http://one")) == (GPUS["H100"], [Size(8e9)])
    with pytest.raises(UsageError, match="the size of http://one cannot be read here"):
        sized("H100", ("http://one",))


def test_a_models_size_is_that_of_its_tensors(tmp_path):
    from transformers import AutoModelForCausalLM

    folder = save_model(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(folder)
    size, config = size_of(str(folder)), model.config
    table = model.get_input_embeddings().weight.numel()
    assert (size.head, size.layers) == (table, config.num_hidden_layers)
    assert size.width == config.num_attention_heads * config.head_dim
    tied = config.tie_word_embeddings
    assert size.body == sum(value.numel() for value in model.parameters()) - (1 if tied else 2) * table


def test_of_experts_those_that_are_asked_count(tmp_path):
    import torch
    from safetensors.torch import save_file
    from transformers import Qwen3MoeConfig

    config = Qwen3MoeConfig(
        vocab_size=50,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=4,
        num_experts=4,
        num_experts_per_tok=2,
    )
    config.save_pretrained(tmp_path)
    names = {"model.layers.0.norm.weight": torch.zeros(8), "lm_head.weight": torch.zeros(50, 8)}
    names |= {f"model.layers.0.mlp.experts.{number}.up_proj.weight": torch.zeros(10, 8) for number in range(4)}
    save_file(names, tmp_path / "a.safetensors")
    assert size_of(str(tmp_path)) == Size(2 * 80 + 8, 400, 1, 8, 4)
