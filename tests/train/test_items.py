"""Examples as token ids: the chat template's own tokens, nothing forged, and what gives way when there is no room."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.engines.base import Failure
from rlaif.train.batches import collate
from rlaif.train.items import Encoder, digest
from rlaif.train.rows import Example
from tests import templates
from tests.tiny import byte_tokenizer, piece_tokenizer

TOKENIZER = byte_tokenizer()


def example(prompt, *responses):
    return Example(1, "1", ({"role": "user", "content": prompt},), responses)


def encode(prompt, *responses, context=512):
    (item,) = Encoder(TOKENIZER, context).items(example(prompt, *responses))
    return item


def test_a_sequence_is_the_chat_to_the_end_of_its_turn():
    turns = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "world 1 2"}]
    whole = TOKENIZER.apply_chat_template(turns, tokenize=False).removesuffix("\n")
    (tokens,) = encode("hello", "world 1 2").sequences
    assert TOKENIZER.decode(tokens.ids) == whole
    assert TOKENIZER.decode(tokens.ids[tokens.start :]) == "world 1 2<|im_end|>"


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.sampled_from(["<|im_end|>", "<|im_start|>assistant\n", "<think>", "hello", " ", "\n"]), min_size=1, max_size=12)
)
def test_a_response_cannot_hold_the_chats_own_tokens(pieces):
    text = "".join(pieces)
    (tokens,) = encode(text, text).sequences
    said = tokens.ids[tokens.start :]
    assert TOKENIZER.decode(said) == text + "<|im_end|>"
    assert said.count(TOKENIZER.convert_tokens_to_ids("<|im_end|>")) == 1
    assert tokens.ids.count(TOKENIZER.convert_tokens_to_ids("<|im_start|>")) == 2


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 300), st.integers(80, 300))
def test_what_is_too_long_loses_its_prompts_middle_and_then_its_responses_end(prompt, first, second, context):
    words = [f"{number % 10}" for number in range(300)]
    texts = ["".join(words[:many]) for many in (prompt, first, second)]
    whole, found = encode(*texts, context=10_000), Encoder(TOKENIZER, context).items(example(*texts))
    if isinstance(found, Failure):
        assert len(whole.prompt) > context - 16
        return
    (item,) = found
    for short, long in zip(item.sequences, whole.sequences, strict=True):
        kept, said = short.ids[short.start :], long.ids[long.start :]
        assert len(short.ids) <= context
        assert kept == said[: len(kept)]
        assert kept
        if kept != said:  # a response is cut only where it and the prompt take half each
            assert len(item.prompt) <= context // 2 or item.prompt == whole.prompt
            assert len(kept) >= 16
    assert item.sequences[0].ids[: item.sequences[0].start] == item.sequences[1].ids[: item.sequences[1].start]
    if max(len(tokens.ids) for tokens in whole.sequences) <= context:
        assert item == whole


def test_a_prompt_longer_than_the_context_is_a_failure():
    found = Encoder(TOKENIZER, 64).items(example("9" * 400, "a"))
    assert isinstance(found, Failure)
    assert found.reason == "too_long"


def test_plain_text_is_cut_into_pieces_that_lose_nothing():
    text = "hello world " * 40
    items = Encoder(TOKENIZER, 50).items(Example(1, "1", (), (text,)))
    assert all(len(item.sequences[0].ids) <= 50 for item in items)
    assert TOKENIZER.decode([token for item in items for token in item.sequences[0].ids]) == text + "<|im_end|>"


def test_without_a_template_a_turn_ends_with_the_tokenizers_own_end():
    tokenizer = piece_tokenizer()
    (item,) = Encoder(tokenizer, 100).items(example("A", "B"))
    assert item.sequences[0].ids[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("change", [{"p": 0.6}, {"margin": 0.1}, {"responses": ("world", "hellp")}])
def test_the_digest_sees_every_change(change):
    from dataclasses import replace

    before = example("hi", "world", "hello")
    encoder = Encoder(TOKENIZER, 100)
    assert digest(encoder.items(before)) != digest(encoder.items(replace(before, **change)))
    assert digest(encoder.items(before)) == digest(encoder.items(before))


def conversation(*turns):
    roles = {"u": "user", "a": "assistant", "t": "tool"}
    return tuple({"role": roles[role], "content": text} for role, text in turns)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from("ut"), st.sampled_from(["hello", "<|im_end|>", "<|im_start|>assistant\n1"])), max_size=3
    ),
    st.sampled_from(["world 1", "<|im_end|>\n<|im_start|>user\n", "<think>"]),
)
def test_of_a_response_of_several_turns_only_the_assistants_are_learnt(between, text):
    turns = conversation(("a", text), *(turn for pair in between for turn in (pair, ("a", text + "9"))))
    (item,) = Encoder(TOKENIZER, 10_000).items(Example(1, "1", conversation(("u", "hi")), (turns if between else text,)))
    batch = collate([item], pad=0)
    said = text + "<|im_end|>" + "".join(f"{text}9<|im_end|>" for _ in between)
    assert TOKENIZER.decode(batch.ids[batch.response].tolist()) == said
    ends = TOKENIZER.convert_tokens_to_ids("<|im_end|>")
    assert batch.ids[batch.response].tolist().count(ends) == 1 + len(between)
    assert batch.ids[0].tolist().count(ends) == 2 + 2 * len(between)
    roles = [{**turn, "role": "user" if turn["role"] == "tool" else turn["role"], "content": "?"} for turn in turns]
    rendered = TOKENIZER.apply_chat_template([{"role": "user", "content": "?"}, *roles], tokenize=False)
    assert TOKENIZER.decode(batch.ids[0].tolist()).count("<|im_start|>") >= rendered.count("<|im_start|>")


def test_a_long_response_of_several_turns_is_cut_at_its_end():
    turns = conversation(("a", "1" * 20), ("u", "2" * 20), ("a", "3" * 200))
    (item,) = Encoder(TOKENIZER, 100).items(Example(1, "1", conversation(("u", "hi")), (turns,)))
    batch = collate([item], pad=0)
    assert batch.ids.shape[1] == 100
    said = TOKENIZER.decode(batch.ids[batch.response].tolist())
    assert said.startswith("1" * 20 + "<|im_end|>3")
    assert "2" not in said


def items_of(template, *responses, prompt=None):
    tokenizer = byte_tokenizer(template)
    asked = prompt or ({"role": "user", "content": "2 and 2?"},)
    (item,) = Encoder(tokenizer, 4000).items(Example(1, "1", asked, responses))
    return tokenizer, item


ANSWER = "<think>\nTwo and two.\n</think>\n\n4."
KEYED_ANSWER = ({"role": "assistant", "content": "4.", "reasoning_content": "Two and two."},)
TAGS = ("<think>", "</think>")


@pytest.mark.parametrize("response", [ANSWER, KEYED_ANSWER])
@pytest.mark.parametrize("name", templates.REASONING)
def test_reasoning_is_learnt_as_the_model_would_generate_it(name, response):
    template, form = templates.REASONING[name]
    tokenizer, item = items_of(template, response, "No idea.")
    ids = item.sequences[0].ids
    whole, prompt = tokenizer.decode(ids), tokenizer.decode(ids[: item.sequences[0].start])
    said = tokenizer.decode(ids[item.sequences[0].start :])
    if name == "channels":
        assert said == " analysis\nTwo and two.<|im_end|><|im_start|>assistant final\n4.<|im_end|>"
        return
    assert whole.endswith("<|im_start|>assistant\n<think>\nTwo and two.\n</think>\n\n4.<|im_end|>")
    assert prompt.endswith("<think>\n") == form["opened"]  # never behind an empty block, never opened twice
    for tag in TAGS:  # the model's own tokens
        assert ids.count(tokenizer.convert_tokens_to_ids(tag)) == 1
    if name in ("keyed", "opening"):
        turns = [{"role": "user", "content": "2 and 2?"}, KEYED_ANSWER[0]]
        assert whole == tokenizer.apply_chat_template(turns, tokenize=False).rstrip("\n")


@pytest.mark.parametrize("name", templates.REASONING)
def test_an_answer_without_reasoning_is_learnt_after_a_closed_block_or_none(name):
    template, form = templates.REASONING[name]
    for thinking, responses in ((False, ("4.", "5.")), (True, (ANSWER, "5."))):
        tokenizer, item = items_of(template, *responses)
        tokens = item.sequences[1]
        said = tokenizer.decode(tokens.ids[tokens.start :])
        assert said == (form["empty"] if thinking else form["bare"]) + "5.<|im_end|>"
        whole = tokenizer.decode(tokens.ids)
        assert whole.count("<think>") == whole.count("</think>") <= 1
        assert len({tuple(one.ids[: one.start]) for one in item.sequences}) == 1


@settings(deadline=None, max_examples=20)
@given(st.lists(st.sampled_from(["<|im_end|>", "<|im_start|>", "<think>", "</think>", "hello", "\n"]), max_size=8))
def test_reasoning_cannot_hold_the_chats_own_tokens(pieces):
    text = "".join(pieces)
    for template in (templates.KEYED, templates.OPENING, templates.PASSING, templates.STRIPPING):
        tokenizer, item = items_of(template, f"<think>{text}</think>4.")
        said = item.sequences[0].ids[item.sequences[0].start :]
        assert said.count(tokenizer.convert_tokens_to_ids("<|im_end|>")) == 1
        assert said.count(tokenizer.convert_tokens_to_ids("<|im_start|>")) == 0
        for tag in TAGS:
            assert said.count(tokenizer.convert_tokens_to_ids(tag)) <= 1


def test_what_a_sampled_response_begins_with_is_its_reasoning_where_the_template_opened_it():
    tokenizer, item = items_of(templates.OPENING, "Two and two.\n</think>\n\n4.")
    assert tokenizer.decode(item.sequences[0].ids).endswith("assistant\n<think>\nTwo and two.\n</think>\n\n4.<|im_end|>")


def test_a_tokenizer_without_the_tags_learns_them_as_text():
    tokenizer = piece_tokenizer()
    (item,) = Encoder(tokenizer, 400).items(example("A", "<think>a</think>B"))
    assert tokenizer.decode(item.sequences[0].ids[item.sequences[0].start : -1]).replace(" ", "") == "<think>a</think>B"


CALL = {"type": "function", "function": {"name": "add", "arguments": '{"a": "x y"}'}}


@pytest.mark.parametrize("template", [templates.TOOLS, templates.TOOLS_RAW, templates.STRICT, templates.PASSING])
def test_calls_are_learnt_as_the_template_writes_them(template):
    call = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    tool, last = {"role": "tool", "content": "4"}, {"role": "assistant", "content": "It is 4."}
    tokenizer, item = items_of(template, (call, tool, last), (call,))
    batch = collate([item], pad=0)
    wrote = {
        templates.TOOLS: '<tool_call>\n{"name": "add", "arguments": {"a": "x y"}}\n</tool_call>',
        templates.TOOLS_RAW: "<function=add>[a=x y]</function>",
    }.get(template, 'add({"a": "x y"})')
    for place, own in enumerate((f"{wrote}<|im_end|>It is 4.<|im_end|>", f"{wrote}<|im_end|>")):
        assert tokenizer.decode(batch.ids[place][batch.response[place]].tolist()) == own
    assert "4<|im_end|>\n<|im_start|>assistant\nIt is 4." in tokenizer.decode(item.sequences[0].ids)


@pytest.mark.parametrize("template", [templates.KEYED, templates.OPENING])
def test_of_several_turns_that_reason_each_is_learnt_once(template):
    ask = {"role": "user", "content": "And 3?"}
    tokenizer, item = items_of(template, ({"role": "assistant", "content": "4."}, ask, KEYED_ANSWER[0]))
    batch = collate([item], pad=0)
    said = tokenizer.decode(batch.ids[batch.response].tolist())
    assert said.startswith("4.<|im_end|>") and said.endswith("Two and two.\n</think>\n\n4.<|im_end|>")
    assert "And 3?" not in said


def test_the_digest_does_not_depend_on_the_day(monkeypatch):
    from datetime import datetime

    def on(day):
        class Clock(datetime):
            @classmethod
            def now(cls, tz=None):
                return day

        monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", Clock)
        _, item = items_of(templates.DATED, "4.")
        return digest([item])

    assert on(datetime(2026, 1, 1)) == on(datetime(2026, 1, 2))
