"""The plan against what torch's allocator hands out, and the settings that are made to fit."""

from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from benchmarks.memory_peak import peak_of
from rlaif.models.load import find_base
from rlaif.rl.batch import collate
from rlaif.rl.experience import estimate, look
from rlaif.rl.memory import Plan, Setting, Shape, fitted, nearest, plan
from rlaif.rl.networks import build
from rlaif.rl.rollout import Query, Rollout
from rlaif.rl.samplers.transformers import TransformersSampler
from rlaif.rl.update import Learner
from tests.tiny import save_model

KINDS = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen3": (Qwen3Config, Qwen3ForCausalLM)}
SIZES = {"num_hidden_layers": 3, "hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4, "head_dim": 32}
LARGE = Shape(28, 2048, 6144, 16, 8, 128, 151_936, True, True)
"""Of Qwen3-1.7B."""


def architecture(kind, tied=True, vocabulary=600):
    return KINDS[kind][0](**SIZES, num_key_value_heads=2, vocab_size=vocabulary, tie_word_embeddings=tied)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [True, False])
def test_parameters_are_counted_to_the_last(kind, tied):
    config = architecture(kind, tied)
    shape = Shape.of(config)
    model = KINDS[kind][1](config)
    assert shape.parameters == model.num_parameters() and shape.body == model.model.num_parameters()
    from rlaif.models.load import with_adapter

    trained = [value.numel() for value in with_adapter(model, "causal", 5).parameters() if value.requires_grad]
    assert shape.adapter(5) == sum(trained)


@pytest.mark.parametrize(
    ("kind", "method", "options"),
    [
        ("llama", "ppo", {}),
        ("llama", "ppo", {"lora": 4, "precision": "bfloat16"}),
        ("qwen3", "ppo", {"precision": "bfloat16"}),
        ("qwen3", "grpo", {"gradient_checkpointing": True}),
        ("llama", "rloo", {"lora": 4, "entropy": 0.01}),
        ("llama", "rloo", {"micro_tokens": 1024}),
    ],
)
def test_the_plan_is_within_15_percent_of_what_is_held(configured, tmp_path, kind, method, options):
    rows, prompt, new = 16, 16, 16
    torch.manual_seed(0)
    save_model(tmp_path)  # for its tokenizer
    KINDS[kind][1](architecture(kind)).save_pretrained(tmp_path)
    alone = {"value_warmup": 0} if method == "ppo" else {}
    given = {"batch_size": rows // 2, "samples": 2, "max_tokens": new, "micro_tokens": 256, **alone, **options}
    config = configured(method, **given)
    base = find_base(str(tmp_path), "causal", None, config.precision, False)
    setting = Setting(Shape.of(architecture(kind)), base.bf16, prompt)
    planned, networks = plan(config, setting), build(config, base)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 200, (rows, prompt + new), generator=generator).tolist()
    rollouts = [
        Rollout(Query(None, "", row // 2, tuple(each[:prompt])), tuple(each[prompt:]), (-5.0,) * new, "", True)
        for row, each in enumerate(ids)
    ]
    batch, learner, found = collate(rollouts, 0), Learner(config, networks), {}
    sampler = TransformersSampler(networks.policy, base.tokenizer, [], new, 10_000, False)
    found["sampling"] = peak_of(lambda: sampler._sample([one.query for one in rollouts[::2]], 2, 1.0, 0))
    views = []
    found["looking"] = peak_of(lambda: views.append(look(networks, batch, 1.0, config.micro_tokens)))
    experience = estimate(config, batch, views[0], torch.linspace(-1, 1, rows), config.beta)
    learner.update(experience, 0, 1.0, config.beta)
    found["update"] = peak_of(lambda: learner.update(experience, 1, 1.0, config.beta))
    models = {id(each.model): each.model for each in networks if each}.values()
    states = [state for each in learner.state_dict().values() for state in each["state"].values()]
    held = [value for model in models for value in model.parameters()] + [value for each in states for value in each.values()]
    always = sum(value.numel() * value.element_size() for value in held)
    assert sum(planned.always.values()) == pytest.approx(always, rel=0.01)
    assert planned.peak == pytest.approx(always + max(found.values()), rel=0.15)
    of_update = max(sum(phase.values()) for name, phase in planned.phases.items() if name not in ("sampling", "looking"))
    assert of_update == pytest.approx(found["update"], rel=0.2)


def test_the_next_logits_take_no_copies_of_the_output_layer(configured, tiny):
    """In bfloat16 under LoRA there was one for each row."""
    policy = build(configured("rloo", lora=4), find_base(str(tiny), "causal", None, "bfloat16", False)).policy
    weight, rows = policy.causal.get_output_embeddings().weight, 64
    ids = torch.full((rows, 3), 5)
    with torch.inference_mode(), policy.active():
        wanted = policy.causal(input_ids=ids, logits_to_keep=1).logits[:, -1]
        found = []
        peak = peak_of(lambda: found.append(policy.next_logits(input_ids=ids)[0]))
    torch.testing.assert_close(found[0], wanted, atol=0.02, rtol=0.02)
    assert peak < rows / 4 * weight.numel() * weight.element_size()


def test_lora_keeps_one_model_and_full_training_four(configured):
    setting = Setting(LARGE, True, 512, "cuda")
    whole, adapters = plan(configured("ppo"), setting), plan(configured("ppo", lora=16), setting)
    bytes_of = LARGE.parameters
    assert whole.always["policy"] == whole.always["value net"] == 4 * bytes_of and whole.always["reference"] == 2 * bytes_of
    assert adapters.always["policy"] == 2 * bytes_of and {"reference", "value net"}.isdisjoint(adapters.always)
    assert "reference" not in plan(configured("ppo", beta=0.0), setting).always
    assert plan(configured("rloo", **{"async": 1}), setting).always["sampler's copy"] == 4 * bytes_of
    assert "sampling" not in plan(configured("rloo", sampler="vllm"), setting).phases


def test_automatic_passes_follow_the_model_on_a_cpu_and_what_is_free_elsewhere(configured):
    config = configured("ppo", max_tokens=100)
    small = Setting(Shape(4, 128, 384, 4, 2, 32, 512, True), False, 60)
    assert (fitted(config, small).micro_tokens, fitted(config, small).sample_tokens) == (2048, 32_768)
    assert fitted(config, small, free=1) == fitted(config, small)  # another CPU draws the same
    large = Setting(LARGE, True, 60, "cuda")
    sizes = [fitted(config, large, free).micro_tokens or 0 for free in (2**30, 2**33, 2**36)]
    assert sizes[0] < sizes[1] < sizes[2]
    assert fitted(config, large, free=1).micro_tokens == 160  # the longest prompt and its response
    assert fitted(replace(config, micro_tokens=7), large).micro_tokens == 7


def test_the_nearest_settings_that_fit_change_as_little_as_possible(configured):
    setting, config = Setting(LARGE, True, 512, "cuda"), configured("grpo", batch_size=16, samples=8, max_tokens=512)
    wanted = fitted(config, setting, free=2**36)
    need = plan(wanted, setting).peak
    assert nearest(wanted, setting, need) == wanted
    less = nearest(wanted, setting, need - 1)
    assert plan(less, setting).peak < need and (less.lora, less.gradient_checkpointing) == (0, False)
    little = nearest(wanted, setting, 8 * 2**30)
    assert little.lora == 16 and plan(little, setting).peak <= 8 * 2**30
    assert nearest(wanted, setting, 2**30) is None


def test_the_table_says_who_holds_what():
    lines = Plan({"policy": 3 * 2**20, "reference": 0}, {"looking": {"logits": 2**20}, "policy": {"gradients": 2**21}}).lines()
    assert [" ".join(line.split()) for line in lines] == [
        "always 3 MiB policy 3",
        "looking 1 MiB logits 1",
        "policy 2 MiB gradients 2",
        "peak 5 MiB",
    ]


def test_engines_that_sleep_are_held_while_sampling_alone(configured):
    config, setting = configured("ppo"), Setting(LARGE, False, 20)
    awake = plan(config, setting._replace(beside={"vLLM sampler": 2**40}))
    asleep = plan(config, setting._replace(asleep={"vLLM sampler": 2**40}))
    assert awake.always["vLLM sampler"] == asleep.phases["sampling"]["vLLM sampler"] == 2**40
    assert "vLLM sampler" not in asleep.always
    assert all("vLLM sampler" not in held for name, held in asleep.phases.items() if name != "sampling")


def test_of_several_processes_each_holds_a_part_and_what_it_samples_from(configured):
    setting = Setting(LARGE, False, 20)._replace(processes=4)
    whole, part = (plan(configured("ppo", shard=shard), setting) for shard in (False, True))
    for name, size in whole.always.items():
        assert part.always[name] == size // 4
    assert part.phases["policy"]["activations"] == whole.phases["policy"]["activations"]
    assert part.always["sampler's copy"] == whole.always["policy"]
