import pytest
import torch

from rlaif.models import logprobs
from rlaif.models.config import CHUNK
from rlaif.models.logprobs import chunked_logprobs


def plain(hidden, weight, tokens, temperature):
    p = torch.log_softmax(hidden @ weight.T / temperature, -1)
    return p.gather(-1, tokens[:, None]).squeeze(-1), -(p.exp() * p).sum(-1)


@pytest.mark.parametrize("rows", [1, 7, 8, 9])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_values_and_gradients_are_those_of_the_whole_softmax(monkeypatch, rows, temperature):
    monkeypatch.setitem(CHUNK, "cpu", 4 * 50)  # four rows at a time
    torch.manual_seed(rows)
    hidden, weight = torch.randn(rows, 6, dtype=torch.float64), torch.randn(50, 6, dtype=torch.float64)
    tokens = torch.randint(0, 50, (rows,))
    of_logprobs, of_entropies = torch.randn(2, rows)
    found = []
    for function in (chunked_logprobs, plain):
        inputs = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        values, entropies = function(*inputs, tokens, temperature)
        ((values * of_logprobs).sum() + (entropies * of_entropies).sum()).backward()
        found.append((values, entropies, *(each.grad for each in inputs)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours.double(), theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("only", [0, 1])
def test_either_output_may_go_without_a_gradient(only):
    torch.manual_seed(0)
    tokens = torch.tensor([1, 4, 2])
    grads = []
    for function in (chunked_logprobs, plain):
        hidden, weight = torch.arange(12.0).view(3, 4).div(10).requires_grad_(), torch.eye(5, 4).requires_grad_()
        function(hidden, weight, tokens, 1.0)[only].sum().backward()
        grads.append((hidden.grad, weight.grad))
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_frozen_output_layer_gets_no_gradient():
    hidden, weight = torch.randn(3, 4, requires_grad=True), torch.randn(5, 4)
    chunked_logprobs(hidden, weight, torch.tensor([0, 1, 2]))[0].sum().backward()
    assert hidden.grad is not None and weight.grad is None


@pytest.mark.parametrize("autocast", [False, True])
def test_logits_of_a_half_precision_head_are_not_rounded(autocast):
    """Logits of about 20: rounded to bfloat16 they would be off by up to .06, and so would be log-probabilities."""
    torch.manual_seed(0)
    hidden, weight = torch.randn(40, 64).bfloat16().requires_grad_(), torch.randn(20_000, 64).mul(2).bfloat16()
    tokens = torch.randint(0, 20_000, (40,))
    exact, entropy = plain(hidden.double(), weight.double(), tokens, 1.0)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        values, entropies = chunked_logprobs(hidden, weight, tokens)
        values.sum().backward()
    assert exact.abs().max() > 20
    torch.testing.assert_close(values.double(), exact.detach(), atol=1e-4, rtol=0.0)
    torch.testing.assert_close(entropies.double(), entropy.detach(), atol=1e-4, rtol=0.0)
    assert hidden.grad.isfinite().all()


def test_a_chunk_holds_so_many_logits_as_its_device_likes():
    """On a CPU 110 rows of a vocabulary of 151,936, elsewhere 883."""
    for device, rows in (("cpu", 110), ("meta", 883)):
        parts = logprobs._chunks(torch.empty(2000, 1, device=device), torch.empty(151_936, 1, device="meta"))
        assert parts[0] == slice(0, rows) and parts[-1].stop >= 2000
