"""When a principle applies, and what the digest takes for meaning."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest

from rlaif.constitution import Constitution, Example, Principle


@pytest.mark.parametrize(
    ("when", "extra", "expected"),
    [
        (None, {}, True),
        ({"tags": ("risky",)}, {"tags": ["a", "risky"]}, True),
        ({"tags": ("risky", "legal")}, {"tags": "legal"}, True),
        ({"tags": ("risky",)}, {"tags": ["a"]}, False),
        ({"tags": ("risky",)}, {"tags": []}, False),
        ({"tags": ("risky",)}, {"tags": "risky business"}, False),
        ({"tags": ("risky",)}, {"tags": None}, False),
        ({"tags": ("risky",)}, {"tags": {"risky": True}}, False),
        ({"tags": ("risky",)}, {}, False),
        ({"tags": ("risky",), "lang": ("en",)}, {"tags": "risky", "lang": "de"}, False),
        ({"tags": ("risky",), "lang": ("en",)}, {"tags": "risky", "lang": "en"}, True),
        ({"level": (1,)}, {"level": 1.0}, True),
        ({"level": (1,)}, {"level": "1"}, True),
        ({"level": (1,)}, {"level": True}, False),
        ({"risky": (True,)}, {"risky": "true"}, True),
        ({"risky": (True,)}, {"risky": 1}, False),
    ],
)
def test_applies(when: Any, extra: dict[str, Any], expected: bool) -> None:
    assert Principle(id="a", text="t", when=when).applies(extra) is expected


BASE = Constitution("x", 1, (Principle("a", "t", when={"tags": ("b",)}, wordings={"score": "s"}), Principle("b", "u")))


def test_digest_leaves_out_what_means_nothing() -> None:
    first, second = BASE.principles
    rewritten = replace(first, weight=1)  # 1 and 1.0 weigh the same
    assert replace(BASE, name="y", version=2, description="d", principles=(rewritten, second)).digest == BASE.digest


@pytest.mark.parametrize(
    "change",
    [
        {"text": "other"},
        {"id": "c"},
        {"weight": 2.0},
        {"gate": 0.9},
        {"when": None},
        {"when": {"tags": ("b", "c")}},
        {"wordings": {"score": "z"}},
        {"wordings": {"compare": "s"}},
        {"examples": (Example(({"role": "user", "content": "p"},), "b", "w"),)},
    ],
)
def test_digest_changes_with_meaning(change: dict[str, Any]) -> None:
    first, second = BASE.principles
    assert replace(BASE, principles=(replace(first, **change), second)).digest != BASE.digest


def test_digest_changes_with_aggregation_and_order() -> None:
    digests = {BASE.digest, replace(BASE, aggregate="worst").digest, replace(BASE, principles=BASE.principles[::-1]).digest}
    assert len(digests) == 3


def test_values_survive_copies_and_serve_as_keys() -> None:
    assert pickle.loads(pickle.dumps(BASE)) == copy.deepcopy(BASE) == BASE
    assert len({BASE, replace(BASE)}) == 1
