"""The transformers engine against the model asked directly, one prompt at a time."""

import asyncio
import math
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlaif.engines.base import Failure, FailureReason, Message, Sampling, Segment
from rlaif.engines.tokens import PromptEncoder
from rlaif.engines.transformers import TransformersEngine
from rlaif.errors import UsageError
from tests.tiny import save_broken_model, save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def engine(folder):
    return TransformersEngine(str(folder))


def prompts(n):
    return [(Message("user", (Segment("Which one? " + "hello " * (i % 17), False),)),) for i in range(n)]


def direct(folder, prompt):
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    ids = tokenizer.apply_chat_template(
        [{"role": message.role, "content": message.text} for message in prompt], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    with torch.no_grad():
        return tokenizer, ids, model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)


def test_choices_are_the_models_own_log_probabilities(engine, folder):
    asked = prompts(20)
    answers = asyncio.run(engine.choose(asked, ["A", "B"]))
    for prompt, answer in list(zip(asked, answers, strict=True))[::6]:
        tokenizer, ids, logprobs = direct(folder, prompt)
        for label, given in zip("AB", answer.logprobs, strict=True):
            spelled = {tokenizer.encode(text)[0] for text in (label, " " + label)}
            assert given == pytest.approx(math.log(sum(logprobs[token].exp().item() for token in spelled)), abs=1e-5)
        assert answer.mass == pytest.approx(sum(map(math.exp, answer.logprobs)))
        assert answer.raw == tokenizer.decode([int(logprobs.argmax())])
        assert answer.prompt_tokens == len(ids) == engine.count_tokens(prompt)


def test_batches_do_not_change_answers(engine, folder):
    asked = prompts(40)
    together = asyncio.run(engine.choose(asked, ["A", "B"]))
    small = TransformersEngine(str(folder), batch_tokens=64)
    for one, other in zip(together, asyncio.run(small.choose(asked, ["A", "B"])), strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
    assert asyncio.run(engine.choose(asked, ["A", "B"])) == together
    assert asyncio.run(engine.choose([], ["A", "B"])) == []


def judged(n):
    """Prompts about ``n`` samples by four principles each, of several lengths; neighbours share all but their ends."""
    return [
        (
            Message(
                "user", (Segment("Q:\n", True), Segment("hello " * (60 + 20 * i), False), Segment(f"\n{wording} A or B?", True))
            ),
        )
        for i in range(n)
        for wording in ("Kind?", "Shorter?", "Safe", "")
    ]


def test_a_shared_prefix_is_computed_once_and_changes_nothing(engine, folder, monkeypatch):
    asked, passes = judged(6), []
    forward = TransformersEngine._forward
    monkeypatch.setattr(
        TransformersEngine,
        "_forward",
        lambda self, ids, mask, past: passes.append(ids.numel()) or forward(self, ids, mask, past),
    )
    answers = asyncio.run(engine.choose(asked, ["A", "B"]))
    whole = sum(answer.prompt_tokens for answer in answers)
    assert sum(passes) < 0.6 * whole
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    encoder = PromptEncoder(AutoTokenizer.from_pretrained(folder))
    labels = encoder.label_ids(["A", "B"])
    for prompt, answer in zip(asked, answers, strict=True):
        with torch.no_grad():
            logprobs = model(torch.tensor([encoder.encode(prompt).ids])).logits[0, -1].log_softmax(-1)
        assert answer.logprobs == pytest.approx([logprobs[tokens].logsumexp(0).item() for tokens in labels], abs=1e-5)


def test_models_that_would_count_the_padding_share_nothing(tmp_path):
    sliding = TransformersEngine(str(save_model(tmp_path, use_sliding_window=True, sliding_window=16, max_window_layers=0)))
    asked = judged(3)
    together = asyncio.run(sliding.choose(asked, ["A", "B"]))
    alone = [asyncio.run(sliding.choose([prompt], ["A", "B"]))[0] for prompt in asked]
    for one, other in zip(together, alone, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)


def test_log_probabilities_of_samples_are_those_of_a_forward_pass(engine, folder):
    asked = prompts(3)
    drawn = asyncio.run(engine.generate(asked, Sampling(max_tokens=12, temperature=0.7, n=2, seed=3)))
    assert drawn == asyncio.run(engine.generate(asked, Sampling(max_tokens=12, temperature=0.7, n=2, seed=3)))
    assert [[one.prompt_tokens for one in some] for some in drawn] == [[engine.count_tokens(prompt)] * 2 for prompt in asked]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    for prompt, samples in zip(asked, drawn, strict=True):
        assert len(samples) == 2
        for sample in samples:
            tokenizer, ids, _ = direct(folder, prompt)
            with torch.no_grad():
                logprobs = model(torch.tensor([[*ids, *sample.token_ids]])).logits[0].log_softmax(-1)
            expected = [logprobs[len(ids) - 1 + place, token].item() for place, token in enumerate(sample.token_ids)]
            assert sample.logprobs == pytest.approx(expected, abs=1e-4)
            assert (sample.finish == "stop") == (sample.token_ids[-1] == tokenizer.eos_token_id)
            assert sample.finish == "stop" or len(sample.token_ids) == 12


def test_greedy_samples_take_the_likeliest_token(engine, folder):
    asked = prompts(2)
    for prompt, (sample,) in zip(asked, asyncio.run(engine.generate(asked, Sampling(3, temperature=0.0))), strict=True):
        assert sample.token_ids[0] == int(direct(folder, prompt)[2].argmax())


def test_prompts_in_different_batches_do_not_share_their_luck(folder):
    alone = TransformersEngine(str(folder), batch_tokens=1)  # every prompt is a batch of its own
    drawn = asyncio.run(alone.generate(prompts(6), Sampling(12)))
    assert len({sample.token_ids for (sample,) in drawn}) == 6


def test_sampling_leaves_the_callers_random_numbers_alone(engine):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    asyncio.run(engine.generate(prompts(1), Sampling(4)))
    assert torch.rand(1) == expected


def test_long_prompts_are_cut_and_impossible_ones_fail(engine):
    long = (Message("user", (Segment("Which? ", True), Segment("x" * 5000, False))),)
    endless = (Message("user", (Segment("x" * 5000, True), Segment("y", False))),)
    cut, failed = asyncio.run(engine.choose([long, endless], ["A", "B"]))
    assert cut.cut_tokens > 4000 and cut.prompt_tokens == 511
    assert isinstance(failed, Failure) and failed.reason is FailureReason.TOO_LONG


def test_the_identity_is_the_content_not_the_place(folder, engine, tmp_path):
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    assert TransformersEngine(str(copy)).identity == engine.identity
    assert TransformersEngine(str(copy), dtype="bfloat16").identity != engine.identity
    assert TransformersEngine(str(copy), context=256).identity != engine.identity
    save_model(copy, seed=1)
    assert TransformersEngine(str(copy)).identity != engine.identity


def test_unusable_models_are_named(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        TransformersEngine("./nowhere")
    with pytest.raises(UsageError, match=r"no config\.json"):
        TransformersEngine(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(UsageError, match="safetensors"):
        TransformersEngine(str(tmp_path))
    with pytest.raises(UsageError, match="neither a folder here nor a model"):
        TransformersEngine("nobody/nothing")


def test_labels_are_checked_before_the_first_call(engine):
    engine.check_choices(["A", "B"])
    with pytest.raises(UsageError, match="same token"):
        engine.check_choices(["1", "10"])


SETTINGS = {
    "do_sample": True,
    "temperature": 0.1,
    "top_k": 1,
    "top_p": 0.2,
    "repetition_penalty": 4.0,
    "no_repeat_ngram_size": 1,
}


def test_a_models_own_generation_settings_change_nothing(folder, engine, tmp_path):
    import json

    carrying = tmp_path / "carrying"
    shutil.copytree(folder, carrying)
    config = json.loads((carrying / "generation_config.json").read_text())
    (carrying / "generation_config.json").write_text(json.dumps({**config, **SETTINGS}))
    other = TransformersEngine(str(carrying))
    asked = prompts(3)
    for sampling in (Sampling(max_tokens=12, temperature=0), Sampling(max_tokens=12, n=3), Sampling(max_tokens=12, top_p=0.5)):
        plain, carried = (asyncio.run(one.generate(asked, sampling)) for one in (engine, other))
        assert carried == plain
    assert engine.notes == ()
    assert "repetition_penalty=4.0" in other.notes[0] and "top_k=1" in other.notes[0]


def test_numbers_that_are_none_disturb_no_other_prompt_and_are_not_hidden(tmp_path, engine):
    asked = [(Message("user", (Segment(text, False),)),) for text in ("hello", "heZlo", "world")]
    broken = TransformersEngine(str(save_broken_model(tmp_path)))
    good, bad, other = asyncio.run(broken.choose(asked, ["A", "B"]))
    sound = asyncio.run(engine.choose(asked, ["A", "B"]))
    assert all(map(math.isnan, bad.logprobs))
    for one, whole in ((good, sound[0]), (other, sound[2])):
        assert one.logprobs == pytest.approx(whole.logprobs, abs=1e-5)
    for temperature in (0.0, 1.0):
        good, bad, other = asyncio.run(broken.generate(asked, Sampling(6, temperature)))
        assert math.isnan(bad[0].logprobs[0])
        assert math.isfinite(good[0].logprobs[0]) and math.isfinite(other[0].logprobs[0])
