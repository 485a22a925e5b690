"""The batch APIs of OpenAI and Anthropic, each against a server that follows its reference."""

from datetime import datetime

import pytest

from rlaif.engines import batches, client
from rlaif.engines.batches import PROVIDERS, Item
from rlaif.errors import RunFailed, UsageError
from tests.engines.batch_server import serving

BODY = {"messages": [{"role": "system", "content": "Judge."}, {"role": "user", "content": "Which?"}], "max_tokens": 5}


@pytest.fixture(params=["openai", "anthropic"])
def provider(request, monkeypatch):
    monkeypatch.setattr(batches, "POLLS", (0.0,))
    monkeypatch.setattr(client, "PATIENCE", client.Patience(pauses=(0.001,) * 3, stated=0.001))
    with serving() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        made = PROVIDERS[request.param]("a-model")
        made.server = server
        yield made


def items(*names):
    return [Item(name, BODY) for name in names]


def test_what_is_handed_in_comes_back_by_name_in_any_order(provider):
    provider.server.fate = lambda name, times: {"b-0": "expired", "c-0": "error", "d-0": "filtered"}.get(name, "ok")
    id = provider.submit(items("a-0", "b-0", "c-0", "d-0"), "mark")
    batches.wait_for(lambda: provider.standing(id).done)
    found = {result.name: result for result in provider.results(id)}
    assert found["a-0"].status == 200 and found["a-0"].content["choices"][0]["message"]["content"] == "A"
    assert "expired" in found["b-0"].wrong and found["c-0"].status == 500
    assert found["d-0"].status == 400 or found["d-0"].content["choices"][0]["finish_reason"] == "content_filter"
    sent = provider.server.batches[0].items[0]
    body = sent.get("body") or sent["params"]
    assert body["model"] == "a-model" and (body.get("system") == "Judge." or body["messages"][0]["role"] == "system")


def test_a_batch_is_found_among_others_by_its_mark_or_its_names(provider):
    for n in range(5):
        provider.submit(items(f"{n}-0", f"{n}-1"), f"mark{n}")
    assert provider.find("mark3", ["3-0", "3-1"], 0.0) == "batch_3"
    assert provider.find("mark9", ["9-0", "9-1"], 0.0) is None


def test_no_batch_of_before_is_taken_for_this_one(provider):
    provider.submit(items("a-0"), "other")
    made = datetime.fromisoformat(provider.server.batches[0].at).timestamp()
    assert provider.find("mark", ["a-0"], made + 3600) is None


def test_a_key_is_needed(provider, monkeypatch):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(UsageError, match="_API_KEY is not set"):
        type(provider)("a-model")


def test_what_the_provider_will_never_take_is_not_sent_again(provider):
    provider._http.base_url = f"{provider.server.url}/nothing/"
    with pytest.raises(RunFailed, match="does not answer as it should: HTTP 404"):
        provider.standing("x")
