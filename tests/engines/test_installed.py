"""What is asked of vLLM is what its oldest supported version can do; an older one is refused in words."""

import asyncio
import re
import tomllib
from pathlib import Path

import pytest

from rlaif.data.rows import Row
from rlaif.engines import installed
from rlaif.engines.base import Message, Sampling, Segment
from rlaif.engines.config import EngineConfig
from rlaif.engines.installed import OLDEST_VLLM, check_vllm
from rlaif.engines.vllm import VllmEngine
from rlaif.errors import UsageError
from rlaif.models.load import find_base, load, with_adapter
from rlaif.rl.networks import POLICY, Policy
from rlaif.rl.rollout import Query
from rlaif.rl.samplers import vllm as sampling
from tests import lowest_vllm
from tests.tiny import save_model

PROMPT = (Message("user", (Segment("Which one?", False),)),)


@pytest.fixture
def lowest(monkeypatch):
    for name in ("VLLM_ENABLE_V1_MULTIPROCESSING", "TORCHDYNAMO_DISABLE", "VLLM_CPU_OMP_THREADS_BIND", "VLLM_LOGGING_LEVEL"):
        monkeypatch.setenv(name, "0")  # so that what the engine sets is undone
    lowest_vllm.install(monkeypatch)


@pytest.mark.parametrize(
    ("found", "fine"),
    [("0.11.0", False), ("0.19.2", False), ("0.20.0", True), ("0.31.0+cpu", True), ("1.0", True), ("0.1.dev1+g1234", True)],
)
def test_an_older_vllm_is_refused_with_what_to_do(monkeypatch, lowest, found, fine):
    monkeypatch.setattr(installed, "_version", lambda: found)
    if fine:
        check_vllm("--sampler vllm")
        return
    with pytest.raises(UsageError, match=re.escape(f"--sampler vllm: vLLM {found} is installed, 0.20 or newer is needed")):
        check_vllm("--sampler vllm")
    with pytest.raises(UsageError, match="--engine vllm: vLLM"):
        EngineConfig("lab", engine="vllm").open()


def test_the_package_asks_for_the_same_version():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["vllm"] == ["vllm>=" + ".".join(map(str, OLDEST_VLLM))]


def test_the_engine_asks_for_nothing_that_the_oldest_version_does_not_know(lowest, tmp_path):
    engine = VllmEngine(str(save_model(tmp_path / "model")))
    (choice,) = asyncio.run(engine.choose([PROMPT], ["A", "B"]))
    assert choice.logprobs[0] == pytest.approx(choice.logprobs[1])
    for thinking, pattern in ((False, None), (False, "A|B"), (True, None)):
        drawn = asyncio.run(engine.generate([PROMPT], Sampling(8, n=2, seed=1, thinking=thinking, pattern=pattern)))
        assert len(drawn[0]) == 2
    asyncio.run(engine.close())


def test_the_sampler_asks_for_nothing_that_the_oldest_version_does_not_know(lowest, tmp_path, monkeypatch, made_up_query):
    proved = []
    monkeypatch.setattr(sampling, "prove", lambda sampler, *rest: proved.append(sampler))
    folder = str(save_model(tmp_path / "model"))
    base = find_base(folder, "causal", None, "float32", False)
    policy = Policy(load(base, "causal"), None, False)
    sampler = sampling.VllmSampler(policy, base.tokenizer, folder, ends=[base.tokenizer.eos_token_id], max_tokens=4, context=64)

    async def draw():
        return [one async for part in sampler.sample([made_up_query], 3, 0.7, 0) for one in part]

    sampler.update(policy.model)
    assert proved == [sampler] and "lm_head.weight" in sampler._llm.loaded
    rollouts = asyncio.run(draw())
    assert [one.logprobs for one in rollouts] == [(-1.5, -1.5)] * 3 and all(one.ended for one in rollouts)
    sampler.close()
    policy = Policy(with_adapter(load(base, "causal"), "causal", 3), POLICY, False)
    given = {"ends": [base.tokenizer.eos_token_id], "max_tokens": 4, "context": 64, "adapter": 3, "sleep": True}
    sampler = sampling.VllmSampler(policy, base.tokenizer, folder, **given)
    asked = sampler._llm.given
    assert asked.enable_sleep_mode and asked.enable_lora and asked.max_lora_rank == 8
    sampler.sleep()
    assert sampler._llm.slept == 1  # its base is not handed over again
    sampler.wake()
    sampler.update(policy.model)
    asyncio.run(draw())
    assert not sampler._llm.slept and not sampler._llm.loaded
    assert [request.lora_name for request in sampler._engine.adapters] == [POLICY]
    sampler.close()


@pytest.fixture
def made_up_query():
    return Query(Row(1, "1", (), ()), "", 0, (3, 4, 5))
