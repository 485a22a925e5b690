"""A model's name without a network: an answer at once, with what was probably meant."""

import json
import socket
from pathlib import Path

import pytest
import transformers
from huggingface_hub import constants

from rlaif.engines import identity
from rlaif.engines.identity import resolve
from rlaif.errors import UsageError


@pytest.fixture(params=["offline", "refused", "silent"])
def no_hub(request, tmp_path, monkeypatch):
    """A hub that cannot be reached, and a cache with one model."""

    def never(*_, **__):
        raise AssertionError("the hub's client was asked")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", never)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", request.param == "offline")
    monkeypatch.setattr(identity, "PATIENCE", 0.2)
    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    snapshot = cache / "models--owner--small-model" / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (cache / "models--owner--small-model" / "refs").mkdir()
    (cache / "models--owner--small-model" / "refs" / "main").write_text("0123abcd")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr(
            constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1] if request.param == 'silent' else 9}"
        )
        yield snapshot


@pytest.mark.parametrize(
    ("name", "meant"),
    [("labb", "lab"), ("lab-fallible", "lab:fallible"), ("owner/smal-model", "owner/small-model"), ("no-such/thing", "")],
)
def test_an_unknown_name_fails_at_once(no_hub, name, meant):
    with pytest.raises(UsageError) as caught:
        resolve(name, False)
    assert name in str(caught.value) and "the hub cannot be reached" in str(caught.value)
    assert str(caught.value).endswith(f"; did you mean {meant}?") == bool(meant)


def test_what_is_no_name_is_told_without_the_hub(no_hub):
    for name in ("a/b/c", "x y", "script.yaml:", "-x-"):
        with pytest.raises(UsageError, match="no name of a model"):
            resolve(name, False)


def test_a_model_in_the_cache_is_found_there_and_named_by_its_commit(no_hub):
    where, name = resolve("owner/small-model", False)
    assert Path(where) == no_hub and name == "owner/small-model@0123abcd"
