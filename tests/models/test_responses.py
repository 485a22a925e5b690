"""Log-probabilities from inside of a forward pass are those of the logits, whatever the model is wrapped in."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from rlaif.models import responses
from rlaif.models.load import with_adapter
from rlaif.models.logprobs import sequence_logprobs
from rlaif.models.responses import exact_logits, response_logprobs
from tests.tiny import save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def batch():
    """Three sequences of unequal lengths; the second response has a gap, as where a user speaks in between."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 200, (3, 14), generator=generator)
    mask = torch.zeros(3, 14, dtype=torch.bool)
    mask[0, 6:12] = mask[1, 4:7] = mask[1, 9:14] = mask[2, 9:10] = True
    attention = torch.ones_like(ids)
    attention[0, 12:] = attention[2, 10:] = 0
    return ids, mask, attention


def whole(model, ids, mask, attention):
    return sequence_logprobs(model(input_ids=ids, attention_mask=attention, use_cache=False).logits, ids, mask)


def both(model, batch):
    """(sums, lengths, gradients) by the logits and by the function."""
    for function in (whole, lambda model, ids, mask, attention: response_logprobs(model, ids, mask, attention_mask=attention)):
        model.zero_grad()
        sums, lengths = function(model, *batch)
        (sums * torch.tensor([1.0, -2.0, 0.5])).sum().backward()
        gradients = [value.grad.clone() for value in model.parameters() if value.grad is not None]
        yield sums.detach(), lengths, *gradients


@pytest.mark.parametrize("kind", ["plain", "tied", "adapter", "module"])
def test_values_and_gradients_are_those_of_the_logits(folder, batch, kind, monkeypatch):
    model = AutoModelForCausalLM.from_pretrained(folder)
    if kind == "tied":
        model.lm_head.weight = model.get_input_embeddings().weight
    if kind == "adapter":
        model = with_adapter(model, "causal", 4)
    if kind == "module":
        model = torch.nn.parallel.DataParallel(model)
    made = []
    chunked = responses.chunked_logprobs
    monkeypatch.setattr(responses, "chunked_logprobs", lambda *given, **more: made.append(1) or chunked(*given, **more))
    expected, found = both(model, batch)
    assert made == [1] and len(expected) == len(found) > 2
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-4)
    inner = getattr(model, "module", model)
    assert inner(input_ids=batch[0]).logits.shape[-1] == inner.config.vocab_size  # the output layer is itself again


def test_a_model_that_changes_its_logits_is_asked_for_them(folder, batch):
    model = AutoModelForCausalLM.from_pretrained(folder)
    before = model.forward

    def capped(input_ids, attention_mask=None, use_cache=None, logits_to_keep=0):
        out = before(input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache, logits_to_keep=logits_to_keep)
        out.logits = 0.1 * torch.tanh(out.logits / 0.1)
        return out

    model.forward = capped
    for _ in range(2):  # the second time it is known
        expected, found = both(model, batch)
        torch.testing.assert_close(found[0], expected[0], atol=1e-5, rtol=1e-4)
    assert model.lm_head in responses._CHANGED


def test_under_autocast_it_is_the_autocast_product_with_unrounded_logits(folder, batch):
    model = AutoModelForCausalLM.from_pretrained(folder)
    exact, _ = whole(model, *batch)
    with torch.autocast("cpu", torch.bfloat16):
        sums, _ = response_logprobs(model, batch[0], batch[1], attention_mask=batch[2])
    assert sums.dtype == torch.float32
    torch.testing.assert_close(sums, exact, atol=0.1, rtol=0.0)


def test_an_error_leaves_the_output_layer_as_it_was(folder, batch):
    model = AutoModelForCausalLM.from_pretrained(folder)
    with pytest.raises((TypeError, AttributeError, ValueError)):
        response_logprobs(model, batch[0], batch[1], attention_mask="none")
    model.lm_head.register_forward_hook(lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        response_logprobs(model, batch[0], batch[1], attention_mask=batch[2])
    assert "forward" not in vars(model.lm_head)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("autocast", [True, False])
def test_logits_in_half_precision_are_not_rounded_to_it(folder, batch, gradients, autocast):
    """What the output layer makes of the same hidden states is the float32 product; without the context it is not."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32 if autocast else torch.bfloat16)
    with torch.no_grad():
        model.lm_head.weight *= 40  # logits far from 0
    seen = []
    hook = model.lm_head.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach()))
    with torch.set_grad_enabled(gradients), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        rounded = model(input_ids=batch[0]).logits
        with exact_logits(model):
            exact = model(input_ids=batch[0]).logits
    hook.remove()
    expected = seen[1].float() @ model.lm_head.weight.detach().float().T
    assert exact.dtype == torch.float32
    torch.testing.assert_close(exact.detach(), expected)
    assert (rounded.detach().float() - expected).abs().max() > 0.01
    if gradients:
        exact.sum().backward()
        assert model.lm_head.weight.grad.abs().sum() > 0
