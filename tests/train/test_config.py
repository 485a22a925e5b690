"""Settings that a method does not have, and values that mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlaif.errors import UsageError
from rlaif.train.config import METHODS, RATES, TrainConfig, settings_of


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_defaults_and_a_rate(method):
    config = TrainConfig(method, "rows.jsonl", "m", Path("out"), settings_of(method, {}))
    assert isinstance(config.settings, METHODS[method])
    assert config.rate == RATES[method] > 0


def test_an_adapter_learns_faster_unless_a_rate_is_given():
    plain, lora, given = (
        TrainConfig("dpo", "rows.jsonl", "m", Path("out"), settings_of("dpo", {}), **options)
        for options in ({}, {"lora": 8}, {"lora": 8, "learning_rate": 3e-7})
    )
    assert plain.rate < lora.rate
    assert given.rate == 3e-7


@pytest.mark.parametrize(
    ("method", "given", "said"),
    [
        ("dpo", {"gamma": 1.0}, "--gamma: dpo has no such setting; it has --beta, --form, --flip-rate"),
        ("sft", {"beta": 1.0}, "it has --packing"),
        ("simpo", {"beta": 0.0}, "--beta 0.0: must be greater than 0"),
        ("ipo", {"tau": -1.0}, "--tau"),
        ("kto", {"undesirable": 0.0}, "--undesirable"),
        ("dpo", {"flip_rate": 0.5}, "--flip-rate 0.5"),
    ],
)
def test_settings_that_cannot_be(method, given, said):
    with pytest.raises(UsageError) as error:
        settings_of(method, given)
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
        TrainConfig("kto", "rows.jsonl", "m", Path("out"), settings_of("kto", {}), **options)
