import math

import pytest
import torch
from torch import nn

from rlaif.errors import UsageError
from rlaif.models.load import find_base
from rlaif.rl.batch import collate
from rlaif.rl.experience import estimate, look
from rlaif.rl.figures import of_views
from rlaif.rl.networks import build


@pytest.fixture
def batch(made_up):
    return collate(made_up(), 0)


@torch.no_grad()
def by_hand(model, rollouts, temperature=1.0):
    """Log-probabilities and entropies, one response and one token at a time."""
    found = []
    for one in rollouts:
        ids = torch.tensor([[*one.query.ids, *one.ids]])
        logits = model(ids).logits[0].double() / temperature
        start = len(one.query.ids)
        for place, token in enumerate(one.ids):
            p = logits[start + place - 1].log_softmax(-1)
            found.append((p[token].item(), -(p.exp() * p).sum().item()))
    return torch.tensor(found).T


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_log_probabilities_are_of_the_responses_tokens(configured, networks, made_up, batch, plain, temperature):
    policy = networks(configured("rloo")).policy
    assert policy._plain
    policy._plain = plain
    with torch.no_grad():
        logprobs, entropies = policy.logprobs(batch, temperature)
    expected = by_hand(policy.model, made_up(), temperature)
    torch.testing.assert_close(torch.stack([logprobs, entropies])[:, batch.mask], expected.float(), atol=1e-5, rtol=1e-5)
    assert not logprobs[~batch.mask].any() and not entropies[~batch.mask].any()


def test_a_head_that_does_more_than_multiply_is_noticed(configured, networks):
    policy = networks(configured("rloo")).policy
    before = policy.causal.forward

    def capped(*given, **named):
        out = before(*given, **named)
        out.logits = 0.1 * torch.tanh(out.logits / 0.1)
        return out

    policy.causal.forward = capped
    assert not policy._has_plain_head()


@pytest.mark.parametrize("lora", [0, 4])
def test_a_value_is_of_the_state_before_its_token(configured, networks, made_up, batch, lora):
    """V_t may depend on the prompt and the tokens before t, and V_{t+1} must see token t: off by one either way fails."""
    value = networks(configured("ppo", lora=lora)).value
    with torch.no_grad(), value.active():
        before = value.values(batch)
        for t in range(batch.mask.shape[1]):
            has = batch.mask[:, t].nonzero().squeeze(-1)
            ids = batch.ids.clone()
            ids[has, batch.before[has, t] + 1] = 1
            changed = (value.values(batch._replace(ids=ids)) - before).abs() > 1e-6
            assert not changed[:, : t + 1].any()
            if t + 1 < batch.mask.shape[1]:
                assert (changed[:, t + 1] == (batch.mask[:, t + 1] & batch.mask[:, t])).all()


def test_the_value_net_begins_by_expecting_nothing(configured, networks, batch, tiny):
    config = configured("ppo")
    value = build(config, find_base(str(tiny), "causal", None, "float32", False)).value
    assert not value.values(batch).any()


@pytest.mark.parametrize("lora", [0, 4])
def test_policy_reference_and_value_net_are_three(configured, networks, batch, lora):
    """Training one moves that one alone; with adapters all three share their base."""
    found = networks(configured("ppo", lora=lora))
    if lora:
        assert found.policy.model is found.reference.model is found.value.model
        assert all("lora" in name for name in found.policy.parameters())

    def look():
        with torch.no_grad():
            with found.policy.active():
                policy = found.policy.logprobs(batch, 1.0)[0]
            with found.reference.active():
                reference = found.reference.logprobs(batch, 1.0)[0]
            with found.value.active():
                return policy, reference, found.value.values(batch)

    before = look()
    torch.testing.assert_close(before[0], before[1])
    assert not {id(each) for each in found.policy.parameters().values()} & {
        id(each) for each in found.value.parameters().values()
    }
    for trained, network in ((0, found.policy), (2, found.value)):
        with network.active():
            output = network.logprobs(batch, 1.0)[0] if trained == 0 else network.values(batch)
            output.sum().backward()
        with torch.no_grad():
            for value in network.parameters().values():
                assert value.grad is not None
                value -= 0.1 * value.grad.sign()
        after = look()
        assert [not torch.equal(old, new) for old, new in zip(before, after, strict=True)] == [
            place == trained for place in range(3)
        ]
        before = after
    assert all(value.grad is None for name, value in found.reference.model.named_parameters() if not lora or "lora" not in name)


def test_gradient_checkpointing_changes_nothing(configured, networks, batch):
    gradients = []
    for checkpointing in (False, True):
        found = networks(configured("ppo", lora=4, gradient_checkpointing=checkpointing))
        with found.policy.active(learning=True):
            assert found.policy.model.training == checkpointing
            found.policy.logprobs(batch, 1.0)[0].sum().backward()
        assert not found.policy.model.training
        gradients.append({name: value.grad for name, value in found.policy.parameters().items()})
    for name, value in gradients[0].items():
        torch.testing.assert_close(value, gradients[1][name])


def test_a_reward_model_becomes_the_value_net(configured, networks, batch, tiny, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=1)
    model.config.rlaif_reward = {"mean": [0.5], "std": [2.0]}  # as ``rlaif train reward`` leaves it
    model.save_pretrained(tmp_path / "rm")
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.save_pretrained(tmp_path / "rm")
    base = find_base(str(tiny), "causal", None, "float32", False)
    value = build(configured("ppo", value_model=str(tmp_path / "rm")), base).value
    with torch.no_grad():
        last = model(batch.ids[:1, : batch.lengths[0]]).logits.squeeze()
        # The model scores the whole response; the state before an imagined next token is the same.
        whole = batch._replace(before=batch.before + 1).take(torch.tensor([0]))._replace(ids=batch.ids[:1])
        torch.testing.assert_close(value.values(whole)[0, batch.mask[0].sum() - 1], (last - 0.5) / 2)
    assert len(value.parameters()) == len(list(model.parameters())) + 1  # the head has a bias now
    adapted = build(configured("ppo", value_model=str(tmp_path / "rm"), lora=4), base).value
    assert all("lora" in name or "head" in name for name in adapted.parameters()) and len(adapted.parameters()) > 2
    with torch.no_grad(), adapted.active():
        torch.testing.assert_close(adapted.values(batch), value.values(batch))
    tokenizer.add_tokens(["another"])
    tokenizer.save_pretrained(tmp_path / "rm")
    with pytest.raises(UsageError, match="tokenizer"):
        build(configured("ppo", value_model=str(tmp_path / "rm")), base)


@pytest.mark.parametrize("lora", [0, 4])
def test_without_a_price_of_the_kl_there_is_no_reference(configured, networks, batch, lora):
    """Not built, not run; what is not known is NaN, and the advantages are as ever."""
    found = networks(configured("ppo", lora=lora, beta=0.0))
    assert found.reference is None
    passes = []
    found.policy.model.register_forward_hook(lambda *given: passes.append(1))
    body = found.policy._body.register_forward_hook(lambda *given: passes.append(1))
    views = look(found._replace(value=None), batch, 1.0, 10_000)
    body.remove()
    assert len(passes) == 1 and views.reference.isnan().all() and not views.logp.isnan().any()
    experience = estimate(configured("ppo", beta=0.0), batch, views, torch.arange(float(len(batch.ended))), 0.0)
    assert experience.advantages.isfinite().all()
    assert math.isnan(of_views(batch, views)["kl"])


def test_a_reference_in_bfloat16_says_what_autocast_says_in_half_of_the_memory(configured, tiny, batch):
    base = find_base(str(tiny), "causal", None, "bfloat16", False)
    found = build(configured("rloo"), base)
    assert found.policy.model.lm_head.weight.dtype == torch.float32
    layers = {name: layer.weight.dtype for name, layer in found.reference.model.named_modules() if isinstance(layer, nn.Linear)}
    assert layers and set(layers.values()) == {torch.bfloat16}
    views = look(found, batch, 1.0, 10_000)
    assert torch.equal(views.logp, views.reference) and views.logp.any()


def test_each_layer_is_compiled_once_where_asked_for(configured, networks, monkeypatch):
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **given: compiled.append((self, given)))
    networks(configured("ppo"))
    assert not compiled
    networks(configured("ppo", compile=True))
    assert len({id(layer) for layer, _ in compiled}) == len(compiled) == 3 * 2  # policy, reference and value net, of two layers
    compiled.clear()
    networks(configured("ppo", compile=True, lora=4))
    assert len(compiled) == 2 and all(given == {"dynamic": True} for _, given in compiled)


def test_attention_is_the_one_that_was_asked_for(configured, networks):
    assert networks(configured("rloo", attention="eager")).policy.causal.config._attn_implementation == "eager"
    assert networks(configured("rloo")).policy.causal.config._attn_implementation == "sdpa"
    with pytest.raises(UsageError, match="--attention flash_attention_2: needs a GPU"):
        networks(configured("rloo", attention="flash_attention_2"))
