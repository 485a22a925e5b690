"""Critics behind litellm, the package itself, against a server that answers by the documented schemas of its providers.

Run by ``make test-api``, in an environment of its own: litellm's pins and those of the development environment do not meet.
"""

import asyncio
import json
import math
from pathlib import Path

import pytest

from rlaif.critic.config import CriticConfig
from rlaif.engines import client
from rlaif.engines.base import Failure, FailureReason, Message, Sampling, Segment
from rlaif.engines.config import EngineConfig
from rlaif.errors import RunFailed, UsageError
from rlaif.label.config import LabelConfig
from rlaif.label.run import run_label
from tests.engines.providers import ANTHROPIC, GEMINI, OPENAI, TOKENS, WRITTEN, providers

pytest.importorskip("litellm")
pytestmark = pytest.mark.filterwarnings("ignore")
LISTED = {"A": math.log(0.6), "B": math.log(0.2)}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(client, "PATIENCE", client.Patience(pauses=(0.01,) * 7))


@pytest.fixture
def provider(monkeypatch):
    with providers() as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        yield found


def prompts(*texts):
    return [(Message("system", (Segment("Judge.", True),)), Message("user", (Segment(text, False),))) for text in texts]


def ask(model, *texts, sampling=None):
    engine = EngineConfig(model=f"litellm:{model}").open()

    async def go():
        try:
            if sampling:
                return await engine.generate(prompts(*texts), sampling)
            return await engine.choose(prompts(*texts), ["A", "B"])
        finally:
            await engine.close()

    return asyncio.run(go())


@pytest.mark.parametrize("model", [OPENAI, GEMINI])
def test_labels_are_read_from_log_probabilities_where_the_provider_gives_them(provider, model):
    provider.says(model, "A", LISTED)
    (answer,) = ask(model, "x<|im_end|>")
    assert answer.logprobs == pytest.approx(tuple(LISTED.values()), abs=1e-6)
    assert answer.mass == pytest.approx(0.8, abs=1e-6) and answer.prompt_tokens == 42
    assert "x< |im_end|>" in json.dumps(provider.asked[0].body)


def test_a_provider_without_log_probabilities_says_what_helps_before_anything_is_asked(provider):
    with pytest.raises(UsageError, match=r"gives no log-probabilities; --labels sampled"):
        ask(ANTHROPIC, "hi")
    assert not provider.asked


@pytest.mark.parametrize(("model", "requests"), [(OPENAI, 1), (GEMINI, 1), (ANTHROPIC, 3)])
def test_texts_are_drawn_in_one_request_or_one_by_one(provider, model, requests):
    provider.says(model, "B")
    (texts,) = ask(model, "hi", sampling=Sampling(max_tokens=9, n=3))
    assert [text.text for text in texts] == ["B"] * 3 and len(provider.asked) == requests
    assert all(text.finish == "stop" and text.prompt_tokens == 42 for text in texts)


@pytest.mark.parametrize("model", [OPENAI, GEMINI, ANTHROPIC])
def test_what_a_provider_refuses_to_answer_is_refused_and_nothing_else(provider, model):
    provider.refuses(model)
    (answer,) = ask(model, "hi", sampling=Sampling(max_tokens=9))
    assert isinstance(answer, Failure) and answer.reason is FailureReason.REFUSED and len(provider.asked) == 1


@pytest.mark.parametrize("model", [OPENAI, GEMINI, ANTHROPIC])
def test_a_busy_provider_is_asked_again_after_the_time_that_it_says(provider, model, monkeypatch):
    waited = []
    sleep = asyncio.sleep
    monkeypatch.setattr(client.asyncio, "sleep", lambda seconds: waited.append(seconds) or sleep(0))
    monkeypatch.setattr(client, "PATIENCE", client.Patience(pauses=(0.01,) * 7, stated=0.2))
    provider.says(model, "B")
    provider.busy(model, times=1, seconds=7)
    (texts,) = ask(model, "hi", sampling=Sampling(max_tokens=9))
    assert texts[0].text == "B" and len(provider.asked) == 2
    assert 0.2 <= max(waited) <= 0.23  # what it says, as far as a server is believed


@pytest.mark.parametrize("model", [OPENAI, ANTHROPIC])
def test_a_prompt_that_is_too_long_is_said_to_be(provider, model):
    provider.too_long(model)
    (answer,) = ask(model, "hi", sampling=Sampling(max_tokens=9))
    assert answer.reason is FailureReason.TOO_LONG and len(provider.asked) == 1


def test_a_provider_that_lets_nobody_in_or_is_not_there_ends_the_run(provider, monkeypatch):
    provider.denies(OPENAI)
    with pytest.raises(RunFailed, match=r"no server answers any more.*401"):
        ask(OPENAI, "hi")
    monkeypatch.setenv("ANTHROPIC_API_BASE", "http://127.0.0.1:9")
    with pytest.raises(RunFailed, match="no server answers any more"):
        ask(ANTHROPIC, "hi", sampling=Sampling(max_tokens=9))


@pytest.mark.parametrize("model", [OPENAI, GEMINI, ANTHROPIC])
@pytest.mark.parametrize("wrong", [{}, {"choices": []}, {"content": 3}, {"candidates": [{}]}])
def test_no_reply_that_is_something_else_becomes_an_answer(provider, model, wrong):
    provider.replies(model, 200, {}, wrong)
    (answer,) = ask(model, "hi", sampling=Sampling(max_tokens=9))
    assert isinstance(answer, Failure)


def test_an_unknown_provider_is_named():
    with pytest.raises(UsageError, match="litellm knows no such provider"):
        EngineConfig(model="litellm:nobody/model").open()


def test_a_labelling_run_by_sampled_labels_shows_no_key(provider, tmp_path):
    provider.says(ANTHROPIC, "A")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": "Hi", "responses": ["Hello.", "What?"]}) + "\n")
    critic = CriticConfig(
        models=(f"litellm:{ANTHROPIC}",),
        constitution=Path("constitutions/lab.yaml"),
        labels="sampled",
        votes=2,
        store=tmp_path / "store.sqlite",
    )
    run = run_label(LabelConfig(source=str(rows), critic=critic, out=tmp_path / "run"))
    assert run["counts"]["failed"] == 0 and run["counts"]["verdicts"] == 7 and len(provider.asked) == 28
    assert run["critic"].startswith(f"{ANTHROPIC} by litellm labels sampled 2×")
    for file in (tmp_path / "run").iterdir():
        assert provider.key.encode() not in file.read_bytes()


@pytest.mark.parametrize(("model", "requests"), [(OPENAI, 1), (ANTHROPIC, 3)])
def test_the_price_is_litellms_and_the_use_the_providers(provider, model, requests):
    import litellm

    provider.says(model, "B")
    engine = EngineConfig(model=f"litellm:{model}").open()
    asyncio.run(engine.generate(prompts("hi"), Sampling(max_tokens=9, n=3)))
    about = litellm.model_cost[model.partition("/")[2]]
    read, written = requests * TOKENS, requests * WRITTEN
    assert (engine.meter.read, engine.meter.written) == (read, written) and engine.meter.once == (requests == 1)
    assert engine.batch == (*model.split("/"),)  # whose batch API, for which model
    assert engine.meter.dollars == pytest.approx(
        read * about["input_cost_per_token"] + written * about["output_cost_per_token"]
    )
