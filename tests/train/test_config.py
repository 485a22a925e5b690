"""Settings that a method does not have, and values that mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlaif.errors import UsageError
from rlaif.settings import configure
from rlaif.train.config import configuration
from rlaif.train.methods import LOSSES


@pytest.mark.parametrize("method", LOSSES)
def test_every_method_has_defaults_and_a_rate(method):
    needed = {"constitution": "lab"} if method == "critic" else {}
    config = configure(configuration(method), source="rows.jsonl", model="m", out=Path("out"), **needed)
    assert isinstance(config.loss, LOSSES[method])
    assert config.rate == LOSSES[method].rate > 0


def test_an_adapter_learns_faster_unless_a_rate_is_given():
    plain, lora, given = (
        configure(configuration("dpo"), source="rows.jsonl", model="m", out=Path("out"), **options)
        for options in ({}, {"lora": 8}, {"lora": 8, "learning_rate": 3e-7})
    )
    assert plain.rate < lora.rate
    assert given.rate == 3e-7


@pytest.mark.parametrize(
    ("method", "given", "said"),
    [
        ("dpo", {"gamma": 1.0}, "--gamma: no such setting"),
        ("sft", {"beta": 1.0}, "--beta: no such setting"),
        ("simpo", {"beta": 0.0}, "--beta 0.0: must be greater than 0"),
        ("ipo", {"tau": -1.0}, "--tau"),
        ("kto", {"undesirable": 0.0}, "--undesirable"),
        ("dpo", {"flip_rate": 0.5}, "--flip-rate 0.5"),
    ],
)
def test_settings_that_cannot_be(method, given, said):
    with pytest.raises(UsageError) as error:
        configure(configuration(method), source="rows.jsonl", model="m", out=Path("out"), **given)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_size": 6, "micro_batch": 4}, "multiple"),
        ({"quantize": "4bit"}, "give --lora"),
        ({"patience": 2}, "--eval-fraction"),
        ({"eval_fraction": 1.0}, "less than 1"),
        ({"learning_rate": 0.0}, "--learning-rate"),
        ({"epochs": 0.0}, "--epochs"),
    ],
)
def test_options_that_cannot_be(options, said):
    with pytest.raises(UsageError, match=said):
        configure(configuration("kto"), source="rows.jsonl", model="m", out=Path("out"), **options)
