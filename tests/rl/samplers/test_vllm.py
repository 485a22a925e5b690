"""vLLM as the policy's sampler, in process and as a server: it samples from the weights of now, or refuses."""

from __future__ import annotations

import asyncio
import gc
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3ForCausalLM

from rlaif.data.rows import Row
from rlaif.errors import RunFailed
from rlaif.models.load import with_adapter
from rlaif.rl.batch import collate
from rlaif.rl.networks import POLICY, Policy
from rlaif.rl.rollout import Query
from rlaif.rl.samplers.transformers import TransformersSampler
from tests.serving import vllm_server
from tests.tiny import save_model

pytestmark = pytest.mark.vllm
LONG = 24


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The tiny model with an output layer of its own, and with one tied to its embeddings."""
    pytest.importorskip("vllm")
    untied, tied = (save_model(tmp_path_factory.mktemp(name)) for name in ("untied", "tied"))
    model = Qwen3ForCausalLM.from_pretrained(tied)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(tied)
    return {"untied": untied, "tied": tied}


@pytest.fixture(scope="module")
def sampler(folders):
    """One for the module. The death of any engine in this process takes the others with it, so none may die meanwhile."""
    gc.collect()
    found = [in_process(policy_of(folders["tied"]), folders["tied"])]
    yield found[0]
    found.pop().close()
    gc.collect()


@pytest.fixture(scope="module")
def applying(sampler, folders):
    """One that is given adapters, with its policy."""
    policy = policy_of(folders["tied"], lora=4)
    found = [in_process(policy, folders["tied"], adapter=4)]
    yield found[0], policy
    found.pop().close()


@pytest.fixture(scope="module")
def server(folders, tmp_path_factory):
    log, options = tmp_path_factory.mktemp("server") / "log", ("--logprobs-mode", "processed_logprobs")
    with vllm_server(str(folders["untied"]), log, *options, VLLM_SERVER_DEV_MODE="1") as url:
        yield url


def policy_of(folder, lora=0):
    model = AutoModelForCausalLM.from_pretrained(folder)
    return Policy(with_adapter(model, "causal", lora) if lora else model, POLICY if lora else None, bf16=False)


def in_process(policy, folder, **options):
    from rlaif.rl.samplers.vllm import VllmSampler

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ends = [tokenizer.eos_token_id]
    return VllmSampler(policy, tokenizer, str(folder), ends=ends, max_tokens=LONG, context=256, **options)


def over_http(policy, folder, url, weights, adapter=False):
    from rlaif.rl.samplers.server import ServerSampler

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ends = [tokenizer.eos_token_id]
    return ServerSampler(policy, tokenizer, [url], weights, ends=ends, max_tokens=LONG, adapter=adapter)


def trained(policy, seed=0):
    """The policy, moved as by an update."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in policy.parameters().values():
            value.add_(torch.randn(value.shape, generator=generator) * (0.3 * value.std() + 0.01))
    return policy


def queries(n=5):
    return [Query(Row(i, str(i), (), ()), "", i, tuple(range(5 + 3 * i, 45 + 4 * i))) for i in range(n)]


def draw(sampler, n=2, temperature=0.8, seed=3):
    async def all_of_it():
        return [batch async for batch in sampler.sample(queries(), n, temperature, seed)]

    batches = asyncio.run(all_of_it())
    return sorted((one for batch in batches for one in batch), key=lambda one: one.query.group)


def check_draws(sampler, policy, folder):
    """What any sampler owes: the policy's own log-probabilities and greedy texts, whole groups, ends where they belong."""
    sampler.update(policy.model)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    reference = TransformersSampler(policy, tokenizer, [tokenizer.eos_token_id], LONG, 4096, ahead=False)
    greedy, wanted = draw(sampler, 1, 0.0), draw(reference, 1, 0.0)
    assert [(one.ids, one.text, one.ended) for one in greedy] == [(one.ids, one.text, one.ended) for one in wanted]
    drawn = draw(sampler)
    assert [one.query.group for one in drawn] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert all(one.query == queries()[one.query.group] for one in drawn)
    assert len({one.ids for one in drawn}) == len(drawn)
    batch = collate(drawn, pad=0)
    with torch.no_grad(), policy.active():
        logprobs, _ = policy.logprobs(batch, 0.8)
    torch.testing.assert_close(batch.sampled, logprobs, atol=1e-4, rtol=0)
    for one in drawn:
        assert one.ended == (one.ids[-1] == tokenizer.eos_token_id)
        assert one.ended or len(one.ids) == LONG
        assert one.text == tokenizer.decode(one.ids[:-1] if one.ended else one.ids, skip_special_tokens=True)
    assert draw(sampler) == drawn != draw(sampler, seed=4)


def likes_to_end(policy, tokenizer):
    """Make some responses end by themselves."""
    with torch.no_grad():
        head = policy.model.get_output_embeddings().weight
        head[tokenizer.eos_token_id] = head.mean(0) + 3 * head.std()


def test_in_process_it_samples_from_the_weights_of_now(sampler, folders):
    policy = trained(policy_of(folders["tied"]))
    likes_to_end(policy, AutoTokenizer.from_pretrained(folders["tied"]))
    check_draws(sampler, policy, folders["tied"])


def test_an_adapter_is_merged(sampler, folders):
    check_draws(sampler, trained(policy_of(folders["tied"], lora=4)), folders["tied"])


def test_an_adapter_is_handed_over_alone(applying, folders, monkeypatch):
    """The base stays as it is in the engine, which applies what the adapter has become."""
    own, policy = applying
    monkeypatch.setattr(own, "_load_whole", None)
    for seed in range(2):
        check_draws(own, trained(policy, seed), folders["tied"])


def test_after_sleep_it_samples_as_before(sampler, folders):
    """On a CPU vLLM keeps its memory, but takes the same calls."""
    policy = trained(policy_of(folders["tied"]))
    sampler.update(policy.model)
    before = draw(sampler)
    sampler.sleep()
    sampler.wake()
    sampler.update(policy.model)
    assert draw(sampler) == before


def test_a_run_whose_reloads_do_nothing_is_refused(sampler, folders, monkeypatch):
    from rlaif.rl.samplers import vllm as vllm_sampler

    monkeypatch.setattr(vllm_sampler, "open_llm", lambda *_, **__: sampler._llm)
    monkeypatch.setattr(vllm_sampler.VllmSampler, "_load", lambda self, model: None)
    sampler.update(policy_of(folders["tied"]).model)
    with pytest.raises(RunFailed, match="does not draw from the policy's weights"):
        in_process(policy_of(folders["tied"]), folders["tied"])


def test_a_tied_head_that_stays_behind_is_refused(sampler, folders, monkeypatch):
    from rlaif.rl.samplers import vllm as vllm_sampler
    from rlaif.rl.samplers.weights import prove

    monkeypatch.setattr(vllm_sampler, "_refresh_head", lambda model: None)
    with pytest.raises(RunFailed, match="tied to the embeddings"):
        prove(sampler, policy_of(folders["tied"]), AutoTokenizer.from_pretrained(folders["tied"]), 0.1)


def test_answers_cached_from_old_weights_are_refused(sampler, folders, monkeypatch):
    from rlaif.rl.samplers.weights import prove

    monkeypatch.setattr(sampler._llm, "reset_prefix_cache", lambda: True)
    with pytest.raises(RunFailed, match="does not draw from the policy's weights"):
        prove(sampler, policy_of(folders["tied"]), AutoTokenizer.from_pretrained(folders["tied"]), 0.1)


def test_weights_do_not_change_under_way_and_what_is_left_under_way_is_dropped(sampler, folders):
    from rlaif.rl.samplers import vllm as vllm_sampler

    policy = policy_of(folders["tied"])
    sampler.update(policy.model)
    whole = draw(sampler)

    async def leave():
        drawing = sampler.sample(queries(), 2, 0.8, 3)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(vllm_sampler, "AT_ONCE", 1)
            first = await anext(drawing)
        with pytest.raises(RuntimeError, match="being sampled"):
            sampler.update(policy.model)
        await drawing.aclose()
        return first

    sampler._max_tokens, short = 2 * LONG, sampler._max_tokens  # so that they do not all end in one step
    try:
        sampler._ends, ends = [whole[0].ids[3]], sampler._ends
        asyncio.run(leave())
    finally:
        sampler._max_tokens, sampler._ends = short, ends
    sampler.update(policy.model)
    assert draw(sampler) == whole


def test_a_server_samples_from_the_weights_of_now(server, folders, tmp_path):
    policy = policy_of(folders["untied"])
    sampler = over_http(policy, folders["untied"], server, tmp_path / "weights")
    likes_to_end(trained(policy), AutoTokenizer.from_pretrained(folders["untied"]))
    check_draws(sampler, policy, folders["untied"])


def test_a_server_applies_the_adapter_that_it_is_given(folders, tmp_path):
    options = ("--logprobs-mode", "processed_logprobs", "--enable-lora", "--max-lora-rank", "8")
    policy = policy_of(folders["tied"], lora=4)
    with vllm_server(str(folders["tied"]), tmp_path / "log", *options, VLLM_ALLOW_RUNTIME_LORA_UPDATING="True") as url:
        sampler = over_http(policy, folders["tied"], url, tmp_path / "weights", adapter=True)
        for seed in range(2):
            check_draws(sampler, trained(policy, seed), folders["tied"])
    assert [path.name for path in (tmp_path / "weights").iterdir()] == [sampler._name]


def test_a_server_that_keeps_its_weights_is_refused(server, folders, tmp_path, monkeypatch):
    from rlaif.rl.samplers.server import ServerSampler

    tell = ServerSampler._tell
    skip = {"collective_rpc"}
    monkeypatch.setattr(ServerSampler, "_tell", lambda self, url, route, body: route in skip or tell(self, url, route, body))
    with pytest.raises(RunFailed, match="does not draw from the policy's weights"):
        over_http(policy_of(folders["untied"], lora=4), folders["untied"], server, tmp_path / "weights")


def test_a_server_without_the_routes_says_how_to_start_it(lab_server, folders, tmp_path):
    with pytest.raises(RunFailed, match="VLLM_SERVER_DEV_MODE=1"):
        over_http(policy_of(folders["untied"]), folders["untied"], lab_server, tmp_path / "weights")


def test_no_log_probability_is_positive(sampler):
    assert all(value <= 0 and math.isfinite(value) for one in draw(sampler) for value in one.logprobs)
