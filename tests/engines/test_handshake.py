"""Meeting the servers: their cards, those that are away, and those that answer badly at first."""

import pytest

from rlaif.engines import client
from rlaif.engines.handshake import find_encoder, meet
from rlaif.errors import RunFailed, UsageError
from tests.faults.server import FaultServer, Reply, serving
from tests.tiny import save_model


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(client, "PATIENCE", client.Patience(pauses=(0.001,) * 7))


def at_first(monkeypatch, *replies):
    """The next requests for models get these."""
    waiting = list(replies)
    truth = FaultServer.models.fget

    def models(self):
        return waiting.pop(0) if waiting else truth(self)

    monkeypatch.setattr(FaultServer, "models", property(models))


def test_a_server_that_is_away_is_told_and_waited_for(capsys):
    with serving(FaultServer()) as server:
        address, servers, card = meet(["http://127.0.0.1:9", server.url])
    assert [one.known for one in servers] == [False, True] and card.name == "judge"
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "rlaif: http://127.0.0.1:9/v1 does not answer; the other servers go on without it"
    assert address.urls == tuple(one.url for one in servers)


def test_nobody_there():
    with pytest.raises(RunFailed, match="no server answers there"):
        meet(["http://127.0.0.1:9", "http://127.0.0.1:9"])


def test_bad_cards_at_first(monkeypatch):
    with serving(FaultServer()) as server:
        at_first(monkeypatch, {"data": []}, [1], {"error": {"code": 503, "message": "loading"}}, {"data": [{"id": 3}]})
        assert meet([server.url])[2].name == "judge"
        at_first(monkeypatch, *[{"data": []}] * 8)
        with pytest.raises(RunFailed, match="does not answer as an OpenAI-compatible server does: data is empty"):
            meet([server.url])


def test_a_tokenizer_that_answers_badly_at_first_is_asked_again(monkeypatch, tmp_path):
    folder = str(save_model(tmp_path / "tiny"))
    truth = FaultServer.answer
    bad = [Reply({}, 404), Reply(dropped=True), Reply({"tokens": "x"}), Reply(body=b"<html>")]
    monkeypatch.setattr(FaultServer, "answer", lambda self, path, body: bad.pop() if bad else truth(self, path, body))
    with serving(FaultServer(vllm=folder)) as server:
        address, (one,), card = meet([server.url])
        assert find_encoder(address, one, card, None) is not None and not bad
        assert find_encoder(address, one, card, "none") is None
    with serving(FaultServer(vllm=folder)) as server:
        monkeypatch.setattr(FaultServer, "answer", lambda self, path, body: Reply({"tokens": [1]}))
        address, (one,), card = meet([server.url])
        assert find_encoder(address, one, card, None) is None
        with pytest.raises(UsageError, match="does not tokenize as the server"):
            find_encoder(address, one, card, folder)
