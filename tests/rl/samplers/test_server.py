"""A sampler over servers that die and come back: no answer is from other weights than those of now."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlaif.data.rows import Row
from rlaif.engines import client, replicas
from rlaif.errors import RunFailed, UsageError
from rlaif.rl.batch import collate
from rlaif.rl.networks import Policy
from rlaif.rl.rollout import Query
from rlaif.rl.samplers.server import ServerSampler

LONGEST, TEMPERATURE = 5, 0.8
QUERIES = [Query(Row(group, str(group), (), ()), "", group, (20 + group, 40, 60 + group)) for group in range(12)]


class Vllm:
    """What a vLLM server in development mode does that matters here, with a model of its own.

    asked: how often each route was called. deaf: refuses weights. version: None for a server that has no such route. gate: what
    weights wait for. after: completions after which it dies, and comes back at
    once with the weights of its folder.
    """

    def __init__(self, folder, port=0):
        self.asked, self.deaf, self.after, self.version, self.gate = Counter(), False, None, "0.31.0", None
        self.folder, self.port, self._lock = folder, port, threading.Lock()
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        self.model = AutoModelForCausalLM.from_pretrained(self.folder)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path == "/version":
                    self.send({"version": outer.version} if outer.version else {}, 200 if outer.version else 404)
                    return
                self.send({"data": [{"id": "policy", "owned_by": "vllm", "root": "", "max_model_len": 512}]})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"] or 0)) or b"null")
                if outer.gate and self.path == "/collective_rpc":
                    outer.gate.wait(10)
                with outer._lock:
                    outer.asked[self.path] += 1
                    dies = self.path == "/v1/completions" and outer.asked[self.path] == outer.after
                    if dies:
                        outer.model = AutoModelForCausalLM.from_pretrained(outer.folder)
                        self.close_connection = True
                        return
                    status, reply = outer.answer(self.path, body)
                self.send(reply, status)

            def send(self, content, status=200):
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path, body):
        if path == "/collective_rpc":
            if self.deaf:
                return 500, {"error": {"message": "no weights today"}}
            self.model.load_state_dict(load_file(f"{body['kwargs']['weights_path']}/model.safetensors"), strict=False)
        if path != "/v1/completions":
            return 200, {}
        return 200, {"choices": [self.choice(body, index) for index in range(body["n"])]}

    @torch.no_grad()
    def choice(self, body, index):
        ids, logprobs, generator = [], [], torch.Generator().manual_seed(body["seed"] + index)
        while len(ids) < body["max_tokens"] and not (ids and ids[-1] in body["stop_token_ids"]):
            logits = self.model(torch.tensor([[*body["prompt"], *ids]])).logits[0, -1]
            spread = (logits / body["temperature"]).log_softmax(-1)
            ids.append(int(torch.multinomial(spread.exp(), 1, generator=generator)))
            logprobs.append(spread[ids[-1]].item())
        reason = "stop" if ids[-1] in body["stop_token_ids"] else "length"
        given = {"token_ids": ids, "logprobs": {"token_logprobs": logprobs}, "finish_reason": reason}
        return {"index": index, "text": "", **given}


@contextmanager
def servers(folder, many):
    found = [Vllm(folder) for _ in range(many)]
    try:
        yield found
    finally:
        for server in found:
            server.stop()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(client, "PATIENCE", client.Patience(pauses=(0.01,) * 7, deadline=20.0, least=20.0))
    monkeypatch.setattr(replicas, "RESTS", (0.02,))


@pytest.fixture
def policy(tiny):
    return Policy(AutoModelForCausalLM.from_pretrained(tiny), None, bf16=False)


def opened(policy, tiny, found, folder):
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    urls = [server.url for server in found]
    return ServerSampler(policy, tokenizer, urls, folder, ends=[tokenizer.eos_token_id], max_tokens=LONGEST)


def change(policy, sampler, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in policy.parameters().values():
            value += 0.3 * value.std() * torch.randn(value.shape, generator=generator)
    sampler.update(policy.model)


def off(policy, sampler, seed=0, queries=QUERIES):
    """[B]: how far the rollouts' log-probabilities are from the policy's own, at most."""

    async def draw():
        return [one async for part in sampler.sample(queries, 1, TEMPERATURE, seed) for one in part]

    drawn = asyncio.run(draw())
    assert len(drawn) == len(queries)
    batch = collate(drawn, 0, policy.model.device)
    with torch.no_grad(), policy.active():
        own = policy.logprobs(batch, TEMPERATURE)[0]
    return ((batch.sampled - own).abs() * batch.mask).amax(1)


def test_a_server_that_was_away_is_given_the_weights_of_now_before_it_is_asked(policy, tiny, tmp_path):
    with servers(tiny, 2) as (first, second):
        sampler = opened(policy, tiny, (first, second), tmp_path / "weights")
        change(policy, sampler)
        second.stop()
        assert off(policy, sampler).max() < 1e-3
        second.start()  # with the weights that training began with
        loads, answers = second.asked["/collective_rpc"], second.asked["/v1/completions"]
        for seed in range(1, 20):
            assert off(policy, sampler, seed).max() < 1e-3
            if second.asked["/v1/completions"] > answers:
                break
        assert second.asked["/v1/completions"] > answers and second.asked["/collective_rpc"] > loads


@pytest.mark.parametrize("many", [1, 2])
def test_so_is_one_that_is_back_between_two_requests(policy, tiny, tmp_path, many):
    with servers(tiny, many) as found:
        sampler = opened(policy, tiny, found, tmp_path / "weights")
        change(policy, sampler)
        found[0].after = found[0].asked["/v1/completions"] + 2
        loads = found[0].asked["/collective_rpc"]
        for seed in range(3):
            errors = off(policy, sampler, seed, QUERIES[:2])
            assert errors.max() < 1e-3
        assert found[0].asked["/collective_rpc"] == loads + 1


def test_one_that_does_not_take_the_weights_is_not_asked_while_another_does(policy, tiny, tmp_path, capsys):
    with servers(tiny, 2) as (first, second):
        sampler = opened(policy, tiny, (first, second), tmp_path / "weights")
        second.deaf = True
        change(policy, sampler)
        answers = second.asked["/v1/completions"]
        assert off(policy, sampler).max() < 1e-3
        assert second.asked["/v1/completions"] == answers
        assert "did not take the weights" in capsys.readouterr().err
        second.deaf = False
        change(policy, sampler, 1)
        assert off(policy, sampler, 1).max() < 1e-3
        assert second.asked["/v1/completions"] > answers


def test_where_none_takes_them_the_run_ends(policy, tiny, tmp_path):
    with servers(tiny, 1) as (only,):
        sampler = opened(policy, tiny, (only,), tmp_path / "weights")
        only.deaf = True
        with pytest.raises(RunFailed, match="no weights today"):
            change(policy, sampler)


def test_a_lone_server_that_comes_back_without_the_routes_answers_nothing(policy, tiny, tmp_path):
    with servers(tiny, 1) as (only,):
        sampler = opened(policy, tiny, (only,), tmp_path / "weights")
        change(policy, sampler)
        only.after, only.deaf = only.asked["/v1/completions"] + 1, True
        with pytest.raises(RunFailed, match="no weights today"):
            off(policy, sampler)


def test_all_servers_take_the_weights_at_the_same_time(policy, tiny, tmp_path):
    with servers(tiny, 2) as found:
        sampler = opened(policy, tiny, found, tmp_path / "weights")
        found[0].gate = found[1].gate = threading.Barrier(2)  # one after the other, neither would get past it
        change(policy, sampler)
        assert not found[0].gate.broken


@pytest.mark.parametrize(("version", "refused"), [("0.19.1", True), ("0.20.0", False), ("0.1.dev7", False), (None, False)])
def test_an_old_server_is_named_with_what_is_needed(policy, tiny, tmp_path, version, refused):
    with servers(tiny, 1) as (only,):
        only.version = version
        if refused:
            with pytest.raises(UsageError, match=r"--sampler .*: runs vLLM 0\.19\.1, 0\.20 or newer is needed there"):
                opened(policy, tiny, (only,), tmp_path / "weights")
        else:
            opened(policy, tiny, (only,), tmp_path / "weights")


@pytest.mark.parametrize("bf16", [True, False])
def test_weights_are_sent_in_the_precision_of_training(tiny, tmp_path, bf16):
    policy = Policy(AutoModelForCausalLM.from_pretrained(tiny), None, bf16)
    with servers(tiny, 1) as (only,):
        opened(policy, tiny, (only,), tmp_path / "weights")
    sent = load_file(tmp_path / "weights" / "model.safetensors")
    assert {value.dtype for value in sent.values()} == {torch.bfloat16 if bf16 else torch.float32}
