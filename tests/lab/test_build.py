"""``rlaif lab build`` in miniature: every model comes out loadable, and the same seed gives the same weights."""

from __future__ import annotations

import json

import pytest
import torch

from rlaif.errors import UsageError
from rlaif.lab.build import NAMES, Size, build_models

TINY = {name: Size(samples=24, width=64, layers=1, heads=1) for name in NAMES}


class Silent:
    def __init__(self):
        self.started = {}
        self.seen = 0

    def start(self, name, total):
        self.started[name] = total

    def advance(self, samples, loss):
        self.seen += samples


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out, progress = tmp_path_factory.mktemp("models"), Silent()
    build_models(out, NAMES, 0, torch.get_num_threads(), progress, TINY)
    return out, progress


def test_three_folders_and_a_note(built):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out, progress = built
    assert progress.started == dict.fromkeys(NAMES, 24) and progress.seen >= 60
    notes = json.loads((out / "build.json").read_text())
    assert list(notes) == list(NAMES)
    for name in NAMES:
        assert notes[name]["seed"] == 0 and notes[name]["steps"] > 0 and notes[name]["seconds"] >= 0
        model = AutoModelForCausalLM.from_pretrained(out / name)
        assert model.dtype == torch.float32
        assert AutoTokenizer.from_pretrained(out / name).eos_token_id == model.generation_config.eos_token_id


def test_the_same_seed_gives_the_same_weights(built, tmp_path):
    out, _ = built
    build_models(tmp_path, ("policy",), 0, torch.get_num_threads(), Silent(), TINY)
    assert (tmp_path / "policy/model.safetensors").read_bytes() == (out / "policy/model.safetensors").read_bytes()


def test_the_fallible_critic_is_made_from_the_good_one(built):
    from safetensors.torch import load_file

    out, _ = built
    good, bad = (load_file(out / name / "model.safetensors") for name in ("critic", "fallible"))
    assert good.keys() == bad.keys()
    assert any(not torch.equal(good[key], bad[key]) for key in good)


def test_no_fallible_critic_without_a_good_one(tmp_path):
    with pytest.raises(UsageError, match="build that first"):
        build_models(tmp_path, ("fallible",), 0, 1, Silent(), TINY)
