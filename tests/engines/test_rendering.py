"""Tools and calls reach a model through its own chat template, as text of the data and never as its structure."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.engines import chat
from rlaif.engines.base import Message, Segment
from rlaif.engines.tokens import PromptEncoder
from rlaif.sample.policy import as_prompt
from tests.templates import DATED, OPENING, PASSING, STRICT, TOOLS, TOOLS_RAW
from tests.tiny import byte_tokenizer

TOOL = {"type": "function", "function": {"name": "weather", "description": "Tells it.", "parameters": {"type": "object"}}}
HOSTILE = st.lists(
    st.sampled_from(["<|im_end|>", "<|im_start|>", '"', "\\", "\n", "</tool_call>", "hello", " ", "\ue000", "é", "{}"]),
    max_size=6,
).map("".join)


def talk(town, result="21 C", tools=True):
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": json.dumps({"town": town, "days": 2})}}
    first = {"role": "user", "content": "Weather?", **({"tools": json.dumps([TOOL])} if tools else {})}
    return (
        first,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": result, "tool_call_id": "c1"},
    )


def encoded(template, conversation):
    encoder = PromptEncoder(byte_tokenizer(template))
    found = encoder.encode(as_prompt(conversation))
    return encoder, found, encoder.text(found.ids)


def test_a_template_writes_tools_and_calls_as_it_does_with_the_data_itself():
    tokenizer = byte_tokenizer(TOOLS)
    _, _, text = encoded(TOOLS, talk('Bad "Aussee" \\ x'))
    arguments = {"town": 'Bad "Aussee" \\ x', "days": 2}
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "weather", "arguments": arguments}}]},
        {"role": "tool", "content": "21 C"},
    ]
    expected = tokenizer.apply_chat_template(messages, tools=[TOOL], tokenize=False, add_generation_prompt=True)
    assert text == expected


def test_arguments_that_a_template_writes_raw_are_not_escaped():
    _, _, text = encoded(TOOLS_RAW, talk('Bad "Aussee"', tools=False))
    assert '<function=weather>[town=Bad "Aussee"][days=2]</function>' in text


@pytest.mark.parametrize("template", [STRICT, PASSING, None])
def test_what_a_template_does_not_know_becomes_text(template):
    _, _, text = encoded(template, talk("Linz"))
    for part in ("Tells it.", 'weather({"town": "Linz", "days": 2})', "21 C", "Weather?"):
        assert text.count(part) == 1


@pytest.mark.parametrize("template", [TOOLS, TOOLS_RAW, STRICT, PASSING])
@settings(max_examples=20, deadline=None)
@given(town=HOSTILE, result=HOSTILE)
def test_no_data_of_a_tool_becomes_structure(template, town, result):
    _, found, _ = encoded(template, talk(town, result, tools=template != TOOLS_RAW))
    _, clean, _ = encoded(template, talk("a b", "c", tools=template != TOOLS_RAW))
    forbidden = set(byte_tokenizer(template).added_tokens_decoder)
    structure = [[token for token in one.ids if token in forbidden] for one in (found, clean)]
    assert structure[0] == structure[1]
    assert all(forbidden.isdisjoint(found.ids[begin:end]) for begin, end in found.untrusted)


def test_a_label_is_asked_for_after_reasoning_that_the_template_opened():
    encoder = PromptEncoder(byte_tokenizer(OPENING))
    prompt = (Message("user", (Segment("A or B?", False),)),)
    assert encoder.text(encoder.encode(prompt).ids).endswith("<think>\n")
    assert encoder.text(encoder.encode(prompt, decided=True).ids).endswith("<think>\n\n</think>\n\n")
    plain = PromptEncoder(byte_tokenizer(PASSING))
    assert plain.encode(prompt, decided=True) == plain.encode(prompt)


def test_prompts_are_the_same_on_every_day(monkeypatch):
    _, first, text = encoded(DATED, talk("Linz"))
    assert "Today is 26 Jul 2024." in text

    class Tomorrow:
        @staticmethod
        def now():
            raise AssertionError("the clock was asked")

    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", Tomorrow)
    chat._children.clear()
    assert encoded(DATED, talk("Linz"))[1] == first


def test_a_prompt_without_a_template_begins_as_the_tokenizers_own_texts_do():
    from tokenizers.processors import TemplateProcessing

    tokenizer = byte_tokenizer(None)
    assert PromptEncoder(tokenizer).start == []
    tokenizer.bos_token = "<|im_start|>"
    assert PromptEncoder(tokenizer).start == []  # it has one, and does not put it there
    bos = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing("<|im_start|> $A", special_tokens=[("<|im_start|>", bos)])
    prompt = (Message("user", (Segment("hello", False),)),)
    found = PromptEncoder(tokenizer).encode(prompt)
    assert found.ids == tokenizer.encode("hello\n\nAnswer:")[:1] + PromptEncoder(byte_tokenizer(None)).encode(prompt).ids
    assert found.ids[0] == bos and found.untrusted[0][0] == 1
    tokenizer.chat_template = PASSING
    assert PromptEncoder(tokenizer).start == []
