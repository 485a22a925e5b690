"""A labelling run through the providers' batch APIs: nothing is paid twice, whatever happens between."""

import json
import math
from dataclasses import replace

import pytest

from rlaif.critic.config import CriticConfig
from rlaif.engines import batches, client
from rlaif.engines.config import EngineConfig
from rlaif.engines.spending import Meter, Price
from rlaif.errors import RunFailed, UsageError
from rlaif.label.config import LabelConfig
from rlaif.label.run import run_label
from tests.engines.batch_server import KEY, TOKENS, WRITTEN, serving

PROVIDERS = ["openai", "anthropic"]


class Paid:
    """What stands for litellm's engine here: whose batches, at which price. It is never asked itself."""

    notes = ()

    def __init__(self, config):
        self.identity = f"{config.model} by tests"
        self.batch = (config.model, "a-model")
        self.meter = Meter(Price(2, 10))

    def check_choices(self, choices):
        pass

    def count_tokens(self, prompt):
        return 7

    async def choose(self, prompts, choices):
        raise AssertionError("asked directly")

    async def generate(self, prompts, sampling):
        raise AssertionError("asked directly")

    async def close(self):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(batches, "POLLS", (0.0,))
    monkeypatch.setattr(client, "PATIENCE", client.Patience(pauses=(0.001,) * 7, stated=0.001))
    with serving() as found:
        found.answer = lambda body: "B" if "Q1" in json.dumps(body) else "A"
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture
def config(tmp_path):
    rows = [{"prompt": f"Q{n}?", "responses": ["Yes.", "No."]} for n in range(6)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "c.yaml").write_text("{name: c, version: 1, principles: [{id: kind, text: Kind.}, {id: calm, text: Calm.}]}")

    def made(provider, **how):
        critic = CriticConfig(
            models=(provider,),
            constitution=tmp_path / "c.yaml",
            store=tmp_path / "store.sqlite",
            labels="sampled",
            votes=2,
            engine=EngineConfig(engine="tests.label.test_batch:Paid"),
        )
        return LabelConfig(source=str(tmp_path / "rows.jsonl"), critic=replace(critic, **how), out=tmp_path / "run", batch=True)

    return made


QUESTIONS = 6 * 2 * 2
"""Rows, orders, principles."""


def once(server):
    return set(server.handed.values()) == {1}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_run_is_answered_by_one_batch_at_half_the_price(server, config, provider):
    run = run_label(config(provider))
    assert len(server.batches) == 1 and once(server)
    assert run["counts"]["verdicts"] == 12 and run["counts"]["failed"] == 0
    items = len(server.batches[0].items)
    assert items == QUESTIONS * (1 if provider == "openai" else 2)  # Anthropic draws one text a request
    assert run["cost"]["dollars"] == pytest.approx(items * (TOKENS * 1 + WRITTEN * 5) / 1e6)
    assert any("batch API" in note for note in run["notes"])
    run_label(config(provider))
    assert len(server.batches) == 1
    for file in config(provider).out.iterdir():
        assert KEY.encode() not in file.read_bytes()


def test_log_probabilities_come_from_openai_alone(server, config):
    run = run_label(config("openai", labels="logprobs", votes=1))
    first = json.loads((config("openai").out / "preferences.jsonl").read_text().splitlines()[0])
    assert run["counts"]["verdicts"] == 12 and first["p_chosen"] == pytest.approx(0.5)  # always the first shown
    assert first["principles"][0]["mass"] == pytest.approx(math.exp(-0.2) + math.exp(-1.8), abs=1e-3)
    with pytest.raises(UsageError, match="gives no log-probabilities"):
        run_label(replace(config("anthropic", labels="logprobs", votes=1), overwrite=True))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_batch_whose_reply_is_lost_is_found_again(server, config, provider):
    server.drops = 1
    with pytest.raises(RunFailed, match="nobody knows whether the batch was taken"):
        run_label(config(provider))
    assert len(server.batches) == 1
    run = run_label(config(provider))
    assert len(server.batches) == 1 and once(server) and run["counts"]["failed"] == 0


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("moment", ["submit", "standing", "results"])
def test_a_run_killed_at_any_moment_goes_on_with_what_it_handed_in(server, config, provider, moment, monkeypatch):
    kind = batches.PROVIDERS[provider]
    whole = getattr(kind, moment)

    def killed(self, *arguments):
        if moment == "submit":
            whole(self, *arguments)  # it was taken, and the id never written down
        raise KeyboardInterrupt

    monkeypatch.setattr(kind, moment, killed)
    with pytest.raises(KeyboardInterrupt):
        run_label(config(provider))
    monkeypatch.setattr(kind, moment, whole)
    run = run_label(config(provider))
    assert len(server.batches) == 1 and once(server) and run["counts"]["verdicts"] == 12


@pytest.mark.parametrize("provider", PROVIDERS)
def test_one_that_never_reached_the_provider_is_handed_in_again(server, config, provider, monkeypatch):
    kind = batches.PROVIDERS[provider]
    whole = kind.submit

    def killed(self, *_):
        raise KeyboardInterrupt

    monkeypatch.setattr(kind, "submit", killed)
    with pytest.raises(KeyboardInterrupt):
        run_label(config(provider))
    monkeypatch.setattr(kind, "submit", whole)
    assert run_label(config(provider))["counts"]["verdicts"] == 12 and len(server.batches) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_expires_or_fails_is_handed_in_once_more_and_a_refusal_is_an_answer(server, config, provider):
    kinds = ["ok", "expired", "error", "filtered"]
    server.fate = lambda name, times: kinds[int(name[:4], 16) % 4] if times == 1 else "ok"
    run = run_label(replace(config(provider), critic=replace(config(provider).critic, max_failure_rate=1.0)))
    first = server.batches[0].fates
    again = {name.rpartition("-")[0] for name, fate in first.items() if fate in ("expired", "error")}
    filtered = {name.rpartition("-")[0] for name, fate in first.items() if fate == "filtered"}
    assert again and filtered and not again & filtered
    assert {name.rpartition("-")[0] for name in server.batches[1].fates} == again and len(server.batches) == 2
    failures = [json.loads(line) for line in (config(provider).out / "failures.jsonl").read_text().splitlines()]
    assert failures and {failure["reason"] for failure in failures} == {"refused"}
    assert run["counts"]["verdicts"] + run["counts"]["failed"] == 12


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_always_expires_is_a_failure_with_its_reason_and_the_next_start_asks_again(server, config, provider):
    server.fate = lambda name, times: "expired" if int(name[:4], 16) % 5 == 0 else "ok"
    asked = replace(config(provider), critic=replace(config(provider).critic, max_failure_rate=1.0))
    run = run_label(asked)
    failures = [json.loads(line) for line in (asked.out / "failures.jsonl").read_text().splitlines()]
    assert failures and all(failure["reason"] == "engine_error" and "expired" in failure["detail"] for failure in failures)
    assert run["counts"]["failed"] == len(failures) and len(server.batches) == 2
    server.fate = lambda name, times: "ok"
    assert run_label(asked)["counts"]["failed"] == 0 and len(server.batches) == 3


def test_a_batch_that_is_not_accepted_ends_the_run_and_the_next_start_makes_another(server, config):
    server.fails = 1
    with pytest.raises(RunFailed, match="the batch batch_0 failed: the file is not what it should be"):
        run_label(config("openai"))
    assert run_label(config("openai"))["counts"]["verdicts"] == 12 and len(server.batches) == 2


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_busy_provider_is_asked_again(server, config, provider):
    server.busy = 3
    assert run_label(config(provider))["counts"]["verdicts"] == 12 and len(server.batches) == 1


def test_large_jobs_are_several_batches(server, config, monkeypatch):
    monkeypatch.setattr("rlaif.label.batch.MOST", 10)
    assert run_label(config("openai"))["counts"]["verdicts"] == 12
    assert [len(batch.items) for batch in server.batches] == [10, 10, 4] and once(server)


def test_a_batch_that_there_is_no_money_for_is_not_handed_in(server, config):
    with pytest.raises(RunFailed, match=r"--max-cost 1e-05: \$0.0000 are spent, and the next batch of 24 requests"):
        run_label(config("openai", max_cost=1e-5))
    assert not server.batches
    assert run_label(config("openai", max_cost=1.0))["counts"]["verdicts"] == 12


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pairs": "swiss"}, "--pairs swiss asks by what was answered before"),
        ({"policy": "lab:policy"}, "--policy asks by what was answered before"),
    ],
)
def test_what_is_asked_by_answers_cannot_be_a_batch(server, config, change, said):
    with pytest.raises(UsageError, match=said):
        run_label(replace(config("openai"), **change))
    assert not server.batches


def test_only_two_providers_have_batches(server, config):
    with pytest.raises(UsageError, match="--batch needs one critic of OpenAI or Anthropic"):
        run_label(config("mistral"))
