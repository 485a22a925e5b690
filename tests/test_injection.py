"""The attacks of benchmarks/injection.py: none succeeds, and each would if the line that stops it were gone."""

import asyncio

import pytest

from benchmarks import injection
from benchmarks.injection import PERSUASION, persuasion, report, structural
from rlaif.critic.templates import Template
from rlaif.engines import messages
from rlaif.engines.tokens import PromptEncoder


@pytest.mark.parametrize("seed", [0, 1])
def test_no_text_changes_the_structure_of_a_prompt(seed):
    for way, found in structural(900, seed).items():
        assert found.cases.total() >= 900
        assert found.successes.total() == 0, (way, found.example)


@pytest.mark.parametrize(
    ("where", "name", "broken", "way"),
    [
        (messages, "neutralise", lambda text: text, "messages"),
        (Template, "defuse", lambda self, text: text, "messages"),
        (PromptEncoder, "encode_untrusted", PromptEncoder.encode_trusted, "tokens"),
    ],
)
def test_without_the_hardening_the_same_attacks_do_succeed(monkeypatch, where, name, broken, way):
    monkeypatch.setattr(where, name, broken)
    monkeypatch.setattr(injection, "as_messages", messages.as_messages)
    assert structural(60, families=["ChatML"])[way].successes.total() > 0


def test_persuasion_is_counted_against_what_the_critic_gets_right_unattacked():
    found = asyncio.run(persuasion(3))
    assert set(found) == {(name, safe) for name in PERSUASION for safe in (True, False)}
    assert found["none", True].tried > 5
    assert found["none", True].one_order == found["none", True].both_orders == 0
    text = report(structural(45), found, "command")
    assert all(f"| {name} |" in text for name in PERSUASION)
