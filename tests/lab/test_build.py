"""``rlaif lab build`` in miniature: every model comes out loadable, and the same seed gives the same weights."""

from __future__ import annotations

import json

import pytest
import torch

from rlaif.errors import UsageError
from rlaif.lab.build import NAMES, Size, build_models, critiques
from rlaif.lab.revising import NO_FAULT
from rlaif.lab.tokenizer import END, START

TINY = {name: Size(samples=24, width=64, layers=1, heads=1) for name in NAMES}


class Silent:
    def __init__(self):
        self.started = {}
        self.seen = 0

    def stage(self, name, total, done):
        self.started[name] = total
        self.before = self.seen

    def update(self, done, figures):
        assert figures["loss"] > 0
        self.seen = self.before + done


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out, progress = tmp_path_factory.mktemp("models"), Silent()
    build_models(out, NAMES, 0, torch.get_num_threads(), progress, TINY)
    return out, progress


def test_a_folder_for_each_and_a_note(built):
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


@pytest.mark.parametrize(("name", "origin"), [("fallible", "critic"), ("reviser", "policy")])
def test_no_model_without_the_one_that_it_is_made_from(tmp_path, name, origin):
    with pytest.raises(UsageError, match=f"{origin}: the lab's {name} model .* build that first"):
        build_models(tmp_path, (name,), 0, 1, Silent(), TINY)


def test_the_reviser_learns_to_say_the_critique_and_the_revision_and_nothing_else(tokenizer):
    texts = list(critiques(tokenizer, 60, 0))
    assert [one.ids for one in texts] == [one.ids for one in critiques(tokenizer, 60, 0)]
    assert [one.ids for one in texts] != [one.ids for one in critiques(tokenizer, 60, 1)]
    for one in texts:
        assert one.length <= 512  # leaves half of the context to an answer
        critique, revision = (tokenizer.decode(one.ids[start:end]) for start, end in one.said)
        assert critique.endswith(END) and revision.endswith(END) and one.said[1][1] == one.length
        original = tokenizer.decode(one.ids).split("<response>\n")[1].split("\n</response>")[0]
        assert (critique == NO_FAULT + END) == (revision == original + END)
        assert tokenizer.decode(one.ids[: one.said[0][0]]).endswith(f"{START}assistant\n")
        assert tokenizer.decode(one.ids[: one.said[1][0]]).endswith(f"{START}assistant\n")
