"""A comparison in the lab of a tiny random model, with a scripted critic."""

from __future__ import annotations

import pytest

from rlaif.compare.config import LabCompareConfig
from rlaif.settings import configure
from tests.tiny import save_model

CONSTITUTION = """
name: c
version: 1
principles:
  - {id: polite, text: The response is polite.}
  - {id: harmless, text: The response is safe., weight: 3}
"""


@pytest.fixture(autouse=True)
def in_one_thread(one_thread):
    """For every test here."""


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def lab(tmp_path, tiny_model):
    """Settings to a configuration of eight responses to four prompts."""
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "compare.yaml").write_text("rules: [{choose: {A: 0.7, B: 0.2}, rate: 0.5}, {choose: {A: 0.3, B: 0.6}}]")
    (tmp_path / "given.yaml").write_text(
        "train: {learning_rate: 0.001, batch_size: 4, micro_batch: 4, schedule: constant, warmup: 0.0}\n"
        "on-policy: {minibatches: 1}\n"
    )

    def call(**settings):
        given = {
            "out": tmp_path / "out",
            "model": str(tiny_model),
            "critic": f"script:{tmp_path / 'compare.yaml'}",
            "constitution": tmp_path / "c.yaml",
            "store": tmp_path / "v.sqlite",
            "settings": tmp_path / "given.yaml",
            "seeds": 1,
            "budget": 8,
            "samples": 2,
            "max_tokens": 6,
            "held_out": 3,
        }
        return configure(LabCompareConfig, **{**given, **settings})

    return call
