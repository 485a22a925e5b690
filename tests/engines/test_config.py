"""Settings of engines that an engine has no use for are refused, not passed over."""

import pytest

from rlaif.engines.config import EngineConfig
from rlaif.errors import UsageError


@pytest.mark.parametrize("model", ["lab", "script:x.yaml", "http://127.0.0.1:9", "litellm:openai/x"])
def test_many_gpus_for_one_model_are_vllms_alone(model):
    with pytest.raises(UsageError, match=r"--tensor-parallel 2: only vLLM .* give --engine vllm"):
        EngineConfig(model=model, engine="transformers" if model == "lab" else "auto", tensor_parallel=2).open()


def test_replicas_are_rays_alone():
    with pytest.raises(UsageError, match="--replicas needs --engine ray"):
        EngineConfig(model="lab", engine="transformers", replicas=2).open()
