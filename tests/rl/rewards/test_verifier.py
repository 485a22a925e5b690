import math
import warnings

import pytest
import torch

from rlaif.errors import UsageError
from rlaif.rl.rewards.verifier import VerifierReward, load_verifier
from tests.rl.rewards.rollouts import rewarded, rollout

FILE = """
from __future__ import annotations
from dataclasses import dataclass

import numpy
import torch

@dataclass
class Rule:
    least: float = 0.0

def matches(row, response, bonus=0.0):
    if response == "none": return None
    if response == "nan": return float("nan")
    if response == "raise": raise KeyError("oops")
    if response == "text": return "1"
    if response == "infinite": return float("inf")
    if response == "huge": return 10**400
    if response == "exit": raise SystemExit(3)
    if response == "tensor": return torch.tensor(0.5)
    if response == "float32": return numpy.float32("nan")
    if response == "numpy": return numpy.isclose(1.0, 1.0)
    return (response == row["answer"]) + bonus

def prompt(row, response):
    return row["prompt"] == "hi" and row["conversation"] == [{"role": "user", "content": "hi"}] and row["id"] == "0"
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    return tmp_path / "mine.py"


def test_a_function_of_a_file_sees_the_rows_columns(file):
    rollouts = [rollout("4", answer="4"), rollout("5", answer="4")]
    rewards = rewarded(VerifierReward(load_verifier(f"{file}:matches")), rollouts)
    assert rewards.values.tolist() == [1.0, 0.0] and rewards.valid.all()
    assert rewarded(VerifierReward(load_verifier(f"{file}:matches"), {"bonus": 0.5}), rollouts).values.tolist() == [1.5, 0.5]
    assert rewarded(VerifierReward(load_verifier(f"{file}:prompt")), rollouts).values.tolist() == [1.0, 1.0]


def test_none_nan_and_exceptions_are_missing_data(file):
    rollouts = [rollout(text, answer="4") for text in ("4", "none", "nan", "raise", "exit", "infinite", "huge")]
    with pytest.warns(UserWarning, match=r"row 1.*KeyError.*oops"):
        rewards = rewarded(VerifierReward(load_verifier(f"{file}:matches")), rollouts)
    torch.testing.assert_close(rewards.values, torch.tensor([1.0] + [math.nan] * 6), equal_nan=True)
    assert rewards.valid.tolist() == [True] + [False] * 6
    gave = {f"the verifier gave {what}": many for what, many in (("None", 1), ("nan", 1), ("inf", 2))}
    assert rewards.failures == {"engine_error": 2, **gave}


def test_numbers_of_numpy_and_pytorch_count(file):
    rewards = rewarded(
        VerifierReward(load_verifier(f"{file}:matches")), [rollout(text, answer="4") for text in ("tensor", "numpy", "float32")]
    )
    assert rewards.values[:2].tolist() == [0.5, 1.0] and rewards.failures == {"the verifier gave nan": 1}


def test_anything_but_a_number_is_the_users_mistake(file):
    with pytest.raises(UsageError, match=r"returned '1' for row 1"):
        rewarded(VerifierReward(load_verifier(f"{file}:matches")), [rollout("text", answer="4")])


def test_modules_are_loaded_by_name():
    verify = load_verifier("rlaif.rl.rewards.checks:numeric")
    assert rewarded(VerifierReward(verify), [rollout("it is 4.", answer=4)]).values.tolist() == [1.0]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("nothing", "expected FILE.py:function"),
        ("{file}:missing", "it has Rule, dataclass, matches, prompt"),
        ("{file}x.py:matches", "no such file"),
        ("no.such.module:f", "ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_loaded_is_named(file, spec, said):
    with pytest.raises(UsageError, match=said):
        load_verifier(spec.format(file=file))


def test_a_file_that_fails_or_exits_is_a_usage_error(tmp_path):
    for number, text in enumerate(("1 / 0", "raise SystemExit(3)")):
        (tmp_path / f"f{number}.py").write_text(text)
        with pytest.raises(UsageError, match="cannot be loaded"):
            load_verifier(f"{tmp_path}/f{number}.py:f")


def test_the_labs_verifier_knows_right_from_wrong():
    verify = load_verifier("rlaif.lab.verify:correct")
    asked = "Add 2 and 3."
    rollouts = [rollout(text, prompt=asked) for text in ("It makes 5.", "It makes 6.", "I must decline that request.")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rewards = rewarded(VerifierReward(verify), [*rollouts, rollout("5", prompt="Of another world?")])
    torch.testing.assert_close(rewards.values, torch.tensor([1.0, 0.0, 0.5, math.nan]), equal_nan=True)
