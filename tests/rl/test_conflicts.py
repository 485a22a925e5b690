from pathlib import Path

import pytest

from rlaif.errors import UsageError
from rlaif.rl.methods import METHODS
from rlaif.rl.methods.grpo import Grpo
from rlaif.rl.methods.ppo import Ppo
from rlaif.rl.methods.rloo import Rloo
from rlaif.rl.rewards.config import RewardConfig
from rlaif.settings import configure


def test_settings_without_a_meaning_are_refused(configured):
    base = {"source": "x", "model": "m", "out": Path("o")}
    for message, method, given in (
        ("--surrogate sapo has no clip", "rloo", {"surrogate": "sapo", "dual_clip": 3.0}),
        ("--kl-in loss", "rloo", {"kl_weighted": True}),
        ("--importance-band", "rloo", {"importance_band": (1.2, 1.5)}),
        ("--importance-cap 0", "rloo", {"importance": "mask", "importance_cap": 0.0}),
        ("--lam: no such setting", "rloo", {"lam": 0.9}),
        ("--temperature 0", "rloo", {"temperature": 0.0}),
        ("--kl-in loss needs", "grpo", {"kl": "k1"}),
        ("--kl-horizon", "ppo", {"kl_horizon": 100.0}),
        ("--skip-alike", "ppo", {"skip_alike": True, "samples": 1}),
        ("--minibatches 99", "ppo", {"minibatches": 99}),
        ("--gamma 2", "ppo", {"gamma": 2.0}),
        ("--importance-cap 0.5", "rloo", {"importance_cap": 0.5}),
        ("--beta -1", "rloo", {"beta": -1.0}),
        ("grpo compares", "grpo", {"samples": 1}),
        ("--feedback group compares", "ppo", {"rewards": configure(RewardConfig, feedback="group"), "samples": 1}),
        ("--clip-rewards 0", "ppo", {"clip_rewards": 0.0}),
        ("--target-kl -1", "ppo", {"target_kl": -1.0}),
        ("--value-warmup 100", "ppo", {"value_warmup": 100}),
        ("--kl-target multiplies", "ppo", {"kl_target": 3.0, "beta": 0.0}),
        ("--dynamic-kl multiplies", "rloo", {"dynamic_kl": True, "second": "gold", "beta": 0.0}),
        ("give --second", "rloo", {"dynamic_kl": True}),
        ("--eval-prompts above 0", "rloo", {"second": "gold", "eval_prompts": 0}),
        ("--second critic", "rloo", {"second": "critic", "eval_prompts": 1}),
        ("--seed -1", "rloo", {"seed": -1}),
        ("--sampler-adapter", "rloo", {"sampler": "vllm", "sampler_adapter": True}),
        ("--sampler-adapter", "rloo", {"lora": 8, "sampler_adapter": True}),
        ("--sleep on", "rloo", {"sleep": "on", "async": 1}),
    ):
        with pytest.raises(UsageError, match=message):
            configured(method, **{**base, **given})
    assert {"ppo", "rloo", "grpo", "reinforce"} <= METHODS.keys()
    assert Ppo(**base, steps=1).value_alone == 0
    assert Ppo(**base).value_alone == 10 and Ppo(**base, value_model="rm").value_alone == 0
    assert Rloo(**base, lora=8).learns_at == pytest.approx(1e-5) and Grpo(**base).kl_in == "loss"
