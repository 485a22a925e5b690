"""A model's own generation settings: left alone, or followed, the same in every engine (vLLM's are in test_vllm.py)."""

import asyncio
import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlaif.engines.base import Message, Sampling, Segment
from rlaif.engines.config import EngineConfig
from rlaif.engines.drawing import Drawing, drawing
from rlaif.errors import UsageError
from rlaif.sample.config import SamplingConfig
from tests.faults.server import FaultServer, serving
from tests.tiny import save_model

OWN = {"do_sample": True, "temperature": 0.3, "top_k": 8, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 3.0}
FOLLOWED = Drawing(8, 0.9, 0.05, 3.0)
PROMPTS = [(Message("user", (Segment(text, False),)),) for text in ("hello world 1", "2")]


def save_with_settings(folder, **settings):
    save_model(folder)
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_with_settings(tmp_path_factory.mktemp("model"), **OWN)


def generate(engine, sampling, prompts=PROMPTS):
    return asyncio.run(engine.generate(prompts, sampling))


def opened(model, source="neutral", **more):
    return EngineConfig(str(model), engine="transformers", generation_config=source, **more).open()


def allowed(logits, seen, how, temperature, top_p):
    """[V]: the distribution that a token is drawn from, step by step over a list of numbers."""
    scores = logits.tolist()
    for token in seen:
        scores[token] = scores[token] / how.repetition_penalty if scores[token] > 0 else scores[token] * how.repetition_penalty
    p = torch.tensor([score / temperature for score in scores]).softmax(-1)
    p[p < how.min_p * p.max()] = 0
    order = p.argsort(descending=True).tolist()
    kept, total, whole = [], 0.0, p[order[: how.top_k]].sum().item()
    for token in order[: how.top_k]:
        if total / whole >= min(how.top_p, top_p):
            break
        kept.append(token)
        total += p[token].item()
    return {token: p[token].item() / total for token in kept if p[token] > 0}


def prompt_ids(model, prompt):
    asked = [{"role": "user", "content": prompt[0].text}]
    tokenizer = AutoTokenizer.from_pretrained(model)
    return tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)["input_ids"]


@pytest.mark.parametrize("temperature", [0.7, 2.0])
def test_first_tokens_are_drawn_from_the_distribution_that_the_file_asks_for(model, temperature):
    ids = prompt_ids(model, PROMPTS[1])
    logits = AutoModelForCausalLM.from_pretrained(model)(torch.tensor([ids])).logits[0, -1].detach()
    wanted = allowed(logits, set(ids), FOLLOWED, temperature, 0.8)
    drawn = generate(opened(model, "model"), Sampling(1, temperature, 0.8, n=400))[1]  # beside a longer prompt, so with padding
    counts = torch.bincount(torch.tensor([one.token_ids[0] for one in drawn]), minlength=len(logits)) / 400
    assert {token for token in range(len(logits)) if counts[token]} <= wanted.keys()
    assert max(abs(counts[token].item() - p) for token, p in wanted.items()) < 0.08


def test_greedy_texts_are_penalised_by_the_prompts_and_their_own_tokens(model):
    causal = AutoModelForCausalLM.from_pretrained(model)
    texts = generate(opened(model, "model"), Sampling(12, temperature=0.0))
    plain = generate(opened(model), Sampling(12, temperature=0.0))
    for prompt, (text,) in zip(PROMPTS, texts, strict=True):
        ids = prompt_ids(model, prompt)
        for token in text.token_ids:
            logits = causal(torch.tensor([ids])).logits[0, -1].detach()
            for held in set(ids):
                logits[held] = logits[held] / 3 if logits[held] > 0 else logits[held] * 3
            assert token == logits.argmax()
            ids.append(token)
    assert [one[0].token_ids for one in texts] != [one[0].token_ids for one in plain]


def test_neutral_is_as_if_there_were_no_file(model, tmp_path):
    bare = save_model(tmp_path / "bare")
    for sampling in (Sampling(8, 0.0), Sampling(8, 0.7, 0.9, n=3)):
        assert generate(opened(model), sampling) == generate(opened(bare), sampling)
    assert opened(bare, "model").notes == ("the model has no generation settings to follow",)


def test_what_is_done_is_in_identity_and_notes(model):
    neutral, own = opened(model), opened(model, "model")
    assert "not used" in neutral.notes[0] and "repetition_penalty=3.0" in neutral.notes[0]
    assert own.identity == neutral.identity + " generation_config(top_k=8 top_p=0.9 min_p=0.05 repetition_penalty=3)"
    assert "repetition_penalty=3" in own.notes[0]


def test_a_sampling_configuration_opens_its_engine_so(model):
    assert "top_k=8" in SamplingConfig(generation_config="model").open(str(model)).identity
    assert "top_k" not in SamplingConfig().open(str(model)).identity


@pytest.mark.parametrize(("source", "sent"), [("neutral", Drawing()), ("model", FOLLOWED)])
def test_a_vllm_server_is_told_every_setting_each_time(model, monkeypatch, source, sent):
    bodies = []
    answer = FaultServer.answer
    monkeypatch.setattr(FaultServer, "answer", lambda self, path, body: bodies.append(body) or answer(self, path, body))
    with serving(FaultServer(vllm=str(model))) as server:
        for way in (None, "none"):
            engine = EngineConfig(server.url, tokenizer=way, generation_config=source).open()
            assert ("generation_config(" in engine.identity) == (source == "model")

            async def ask(engine=engine):
                await engine.generate(PROMPTS, Sampling(64, 0.5, 0.95))
                await engine.close()

            asyncio.run(ask())
    asked = [body for body in bodies if "max_tokens" in body]
    wanted = sent._replace(top_p=min(sent.top_p, 0.95))._asdict()
    assert len(asked) == 4 and all({name: body[name] for name in wanted} == wanted for body in asked)
    assert all(body["temperature"] == 0.5 for body in asked)


def test_a_server_whose_models_file_cannot_be_read_is_not_guessed(tmp_path):
    with serving(FaultServer()) as server, pytest.raises(UsageError, match="only vLLM servers can be told"):
        EngineConfig(server.url, generation_config="model").open()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num_beams": 4, "top_k": 5}, "has num_beams=4, and only"),
        ({"no_repeat_ngram_size": 3}, "no_repeat_ngram_size=3"),
        ({"bad_words_ids": [[1]]}, "bad_words_ids"),
        ({"top_k": "five"}, "top_k='five', which is no top_k"),
        ({"top_k": -1}, "top_k=-1"),
        ({"top_p": 0}, "top_p=0"),
        ({"min_p": 2}, "min_p=2"),
        ({"repetition_penalty": 0.0}, "repetition_penalty=0.0"),
        ({"repetition_penalty": float("nan")}, "repetition_penalty=nan"),
        ({"repetition_penalty": True}, "repetition_penalty=True"),
    ],
)
def test_what_not_every_engine_can_do_is_refused_and_may_be_left_alone(settings, says):
    with pytest.raises(UsageError, match=r"--generation-config model: .*generation_config\.json has") as refused:
        drawing("model", settings)
    assert says in str(refused.value)
    kept, notes = drawing("neutral", settings)
    assert kept == Drawing() and "not used" in notes[0]


def test_settings_that_change_nothing_are_no_settings():
    nothing = {"num_beams": 1, "min_length": 0, "repetition_penalty": 1.0, "top_p": 1.0, "top_k": 0, "bad_words_ids": None}
    assert drawing("model", nothing) == (Drawing(), ("the model has no generation settings to follow",))
