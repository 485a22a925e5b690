"""A hostile chat template costs little time and memory, and one message."""

import time

import pytest

from rlaif.engines import chat
from rlaif.engines.base import Message, Segment
from rlaif.engines.chat import TemplateRefusedError, render
from rlaif.engines.open import lab_model
from rlaif.engines.tokens import PromptEncoder
from rlaif.errors import UsageError

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture
def tokenizer(monkeypatch):
    from transformers import AutoTokenizer

    monkeypatch.setattr(chat, "PROCESSOR_SECONDS", 1)
    return AutoTokenizer.from_pretrained(lab_model("lab"))


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 'x' * 10**10 }}",
        "{{ 'x' * 10**8 }}",
        "{{ 7 ** (10 ** 8) }}",
        "{{ 'x'.rjust(10 ** 10) }}",
        "{{ '%10000000000d' % 1 }}",
        "{{ [0] * 10 ** 10 }}",
        "{% set a = namespace(v='x') %}{% for b in range(60) %}{% set a.v = a.v + a.v %}{% endfor %}{{ a.v }}",
        "{% for a in range(99999) %}{{ messages[0].content * 1000 }}{% endfor %}",
    ],
)
def test_a_hostile_template_is_stopped(tokenizer, template):
    tokenizer.chat_template = template
    with pytest.raises((UsageError, TemplateRefusedError)):
        render(tokenizer, MESSAGES)
    prompt = (Message("system", (Segment("be kind", True),)), Message("user", (Segment("hi", False),)))
    with pytest.raises(UsageError, match="the model's chat template"):
        PromptEncoder(tokenizer).encode(prompt)


def test_an_honest_template_is_rendered_as_it_always_was(tokenizer):
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{{ add_generation_prompt }}"
    long = [{"role": "user", "content": "é\ue000" * 200_000}]
    for messages in (MESSAGES, long):
        expected = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert render(tokenizer, messages, add_generation_prompt=True) == expected


def test_a_refusal_is_told_in_the_templates_words(tokenizer):
    tokenizer.chat_template = "{{ raise_exception('no system turn, \x1b please') }}"
    with pytest.raises(TemplateRefusedError, match=r"no system turn, \\x1b please"):
        render(tokenizer, MESSAGES)


def test_a_child_that_has_ended_is_followed_by_another(tokenizer, monkeypatch):
    monkeypatch.setattr(chat, "IDLE_SECONDS", 0.01)
    for number in range(20):
        assert str(number) in render(tokenizer, [{"role": "user", "content": str(number)}])
        time.sleep(0.01 * (number % 3))
    tokenizer.chat_template = "{{ 'other' }}"
    assert render(tokenizer, MESSAGES) == "other"
