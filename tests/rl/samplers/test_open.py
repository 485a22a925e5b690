import pytest

from rlaif.errors import UsageError
from rlaif.models.load import find_base
from rlaif.rl.samplers.open import open_sampler
from rlaif.rl.samplers.transformers import TransformersSampler


def test_the_name_says_which(configured, networks, tiny):
    config, base = configured("rloo"), find_base(str(tiny), "causal", None, "float32", False)
    policy = networks(config).policy
    sampler = open_sampler(config, base, policy)
    assert isinstance(sampler, TransformersSampler)
    sampler.close()
    with pytest.raises(UsageError, match="did you mean vllm"):
        open_sampler(configured("rloo", sampler="vlm"), base, policy)
