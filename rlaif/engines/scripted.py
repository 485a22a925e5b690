"""The engine with no model: rules in a YAML file answer. For tests, dry runs of a pipeline, and worked examples.

```yaml
rules:                                # the first rule whose pattern is found in the prompt's text answers
  - when: "(?s)better.*rude"          # a regular expression; a rule without `when` always matches
    choose: {A: 0.9, B: 0.05}         # probabilities of the choices; what is missing to 1 is mass off the labels
  - when: "poison"
    fail: refused                     # a failure reason
    rate: 0.3                         # optional: only for this share of prompts, drawn by the prompt's hash
  - choose: {A: 0.5, B: 0.5}
    generate: "Sure."                 # what generate() answers
delay: 0.01                           # optional: seconds that each call takes
```
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlaif.engines.base import Choice, Failure, FailureReason, Generation, Prompt, Sampling
from rlaif.errors import UsageError
from rlaif.files import read_text


@dataclass(frozen=True)
class Rule:
    when: re.Pattern[str]
    choose: Mapping[str, float] | None = None
    generate: str | None = None
    fail: FailureReason | None = None
    rate: float = 1.0

    def matches(self, text: str) -> bool:
        return self.when.search(text) is not None and _draw(text) < self.rate


class ScriptedEngine:
    """Answers by the rules of a file. Raises UsageError, naming the file and the rule, when they cannot be read."""

    notes: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rules, self._delay = _load(path)
        self.identity = f"script@{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"

    def check_choices(self, choices: Sequence[str]) -> None:
        for rule in self._rules:
            unknown = set(rule.choose or ()) - set(choices)
            if unknown:
                raise UsageError(f"{self._path}: {unknown.pop()!r} is not among the template's choices {list(choices)}")

    def count_tokens(self, prompt: Prompt) -> int:
        return sum(len(message.text.split()) for message in prompt)

    async def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> list[Choice | Failure]:
        await asyncio.sleep(self._delay)
        return [self._choose(prompt, choices) for prompt in prompts]

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Generation] | Failure]:
        await asyncio.sleep(self._delay)
        answers: list[list[Generation] | Failure] = []
        for prompt in prompts:
            rule = self._rule(prompt, "generate")
            if isinstance(rule, Failure):
                answers.append(rule)
            else:
                answers.append([Generation(rule.generate or "", (), (), "stop", self.count_tokens(prompt))] * sampling.n)
        return answers

    async def close(self) -> None:
        pass

    def _choose(self, prompt: Prompt, choices: Sequence[str]) -> Choice | Failure:
        rule = self._rule(prompt, "choose")
        if isinstance(rule, Failure):
            return rule
        given = [(rule.choose or {}).get(choice, 0.0) for choice in choices]
        logprobs = tuple(math.log(p) if p > 0 else -math.inf for p in given)
        likeliest = max(zip(given, choices, strict=True))[1] if any(given) else ""
        return Choice(logprobs, sum(given), likeliest, self.count_tokens(prompt))

    def _rule(self, prompt: Prompt, call: str) -> Rule | Failure:
        text = "\n".join(message.text for message in prompt)
        for rule in self._rules:
            if rule.matches(text) and (rule.fail or getattr(rule, call) is not None):
                return Failure(rule.fail, f"by rule of {self._path.name}") if rule.fail else rule
        return Failure(FailureReason.ENGINE_ERROR, f"no rule of {self._path.name} answers {call} for this prompt")


def _draw(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8]) / 2**64


def _load(path: Path) -> tuple[tuple[Rule, ...], float]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        raw: Any = YAML(typ="safe", pure=True).load(read_text(path))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise UsageError(f"{path}: cannot be read as a script of rules: {error}") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("rules"), list) or raw.keys() - {"rules", "delay"}:
        raise UsageError(f"{path}: a script has the keys rules (a list) and, if wanted, delay (seconds)")
    rules = []
    for number, rule in enumerate(raw["rules"], 1):
        try:
            rules.append(_rule(**rule))
        except (TypeError, ValueError, AttributeError, re.error) as error:
            raise UsageError(f"{path}: rule {number}: {error}") from None
    return tuple(rules), float(raw.get("delay", 0.0))


def _rule(
    when: str = "",
    choose: dict[str, float] | None = None,
    generate: str | None = None,
    fail: str | None = None,
    rate: float = 1.0,
) -> Rule:
    if choose is not None and not isinstance(choose, dict):
        raise ValueError(f"choose maps labels to probabilities, found {choose!r}")
    probabilities = {str(label): float(p) for label, p in (choose or {}).items()}
    if any(p < 0 for p in probabilities.values()) or sum(probabilities.values()) > 1 + 1e-9:
        raise ValueError(f"choose holds probabilities that sum to at most 1, found {choose}")
    return Rule(re.compile(when), probabilities or None, generate, FailureReason(fail) if fail else None, rate)
