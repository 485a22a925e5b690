"""Rewards by rule: a Python function that the user names."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import importlib.util
import math
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from rlaif.data.rows import Row
from rlaif.engines.base import FailureReason
from rlaif.errors import UsageError, one_line
from rlaif.rl.rewards.base import Context, Opened, given
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.rewards.tally import column, tally
from rlaif.rl.rollout import Rewards, Rollout

Verify = Callable[..., float | None]


@dataclass(frozen=True)
class VerifierReward:
    """A RewardSource. verify: ``(row, response, **options) -> number``; None, NaN or an exception is missing data.

    row: the row's columns, with ``prompt`` (the last user turn's text), ``conversation`` (all turns) and ``id``.
    """

    verify: Verify
    options: Mapping[str, Any] = field(default_factory=dict)

    async def __call__(self, rollouts: Sequence[Rollout]) -> Rewards:
        judged = await asyncio.to_thread(lambda: [self._one(rollout) for rollout in rollouts])
        values = column([value for value, _ in judged])
        return tally(values, {}, [reason for _, reason in judged])

    def _one(self, rollout: Rollout) -> tuple[float | None, str]:
        row = rollout.query.row
        try:
            value = self.verify(columns(row), rollout.text, **self.options)
        except (Exception, SystemExit) as error:  # of a user's function anything may come; what fails is this rollout's reward
            warnings.warn(one_line(f"row {row.number}: the verifier raised {type(error).__name__}: {error}"), stacklevel=2)
            return None, FailureReason.ENGINE_ERROR
        if value is None:
            return None, "the verifier gave None"
        no_number = UsageError(f"--verifier: returned {value!r} for row {row.number}; expected a number or None")
        if isinstance(value, str):  # float would read it
            raise no_number
        try:
            number = float(value)  # NumPy's and PyTorch's too
        except OverflowError:
            number = math.inf
        except (TypeError, ValueError):
            raise no_number from None
        return (number, "") if math.isfinite(number) else (None, f"the verifier gave {number}")


def open_verifier(config: RewardConfig, context: Context) -> Opened:
    """``--reward verifier``. Raises UsageError where the function is not named, or cannot be loaded."""
    spec = given(config.verifier, "verifier", "--verifier")
    verify, options = load_verifier(spec), dict(config.options)
    file = Path(spec.rpartition(":")[0])
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else None
    return VerifierReward(verify, options), {"verifier": spec, "file": digest, "options": options}


def columns(row: Row) -> dict[str, Any]:
    """What a verifier sees of a row."""
    asked = [turn["content"] for turn in row.conversation if turn["role"] == "user"]
    known = {"id": row.id, "prompt": asked[-1] if asked else "", "conversation": [dict(turn) for turn in row.conversation]}
    return {**row.extra, **known}


def load_verifier(spec: str) -> Verify:
    """The function that ``FILE.py:function`` or ``package.module:function`` names. Loading a file runs it.

    Raises UsageError where there is no such file, module or function, or where loading it fails.
    """
    module_name, colon, name = spec.rpartition(":")
    if not colon or not module_name or not name:
        raise UsageError(f"--verifier {spec}: expected FILE.py:function or package.module:function")
    try:
        module = _file(Path(module_name)) if module_name.endswith(".py") else importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise UsageError(f"--verifier {module_name}: cannot be loaded: {type(error).__name__}: {error}") from error
    verify = getattr(module, name, None)
    if not callable(verify):
        known = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        raise UsageError(f"--verifier {spec}: {module_name} has no function {name!r}; it has {', '.join(known) or 'none'}")
    function: Verify = verify
    return function


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError("no such file")
    spec = importlib.util.spec_from_file_location(f"verifier_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
