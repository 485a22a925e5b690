"""What needs no second process; that two are one run, weights in parts, is in ``test_ranks``."""

import pytest
import torch

from rlaif.errors import UsageError
from rlaif.rl.shard import Body, check, is_sharded, norm, part_of, whole


@pytest.mark.parametrize(
    ("asked", "launched", "said"),
    [
        (True, None, "--shard spreads the networks over several processes"),
        (False, "ACCELERATE_USE_FSDP", "launched with FSDP.*--shard"),
        (False, "ACCELERATE_USE_DEEPSPEED", "launched with DeepSpeed.*--shard"),
        (False, None, None),
    ],
)
def test_what_the_launcher_and_the_flag_say_must_agree(monkeypatch, asked, launched, said):
    if launched:
        monkeypatch.setenv(launched, "true")
    if said is None:
        check(asked)
        return
    with pytest.raises(UsageError, match=said):
        check(asked)


def test_the_body_by_way_of_the_whole_gives_the_same_states(networks, configured):
    causal = networks(configured("rloo")).policy.causal
    ids = torch.arange(12).view(2, 6)
    with torch.no_grad():
        states = Body(causal, causal.model)(input_ids=ids, use_cache=False).last_hidden_state
        torch.testing.assert_close(states, causal.model(input_ids=ids, use_cache=False).last_hidden_state, atol=0, rtol=0)
        assert causal(input_ids=ids).logits.shape[-1] == causal.config.vocab_size  # its output layer is itself again


def test_whole_tensors_stay_as_they_are():
    value, other = torch.randn(3, 2), torch.randn(4)
    assert whole(value) is value and part_of(other, value) is other and not is_sharded(torch.nn.Linear(2, 2))
    assert norm([value, other]) == torch.nn.utils.get_total_norm([value, other])
