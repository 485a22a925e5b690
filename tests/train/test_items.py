"""Examples as token ids: the chat template's own tokens, nothing forged, and what gives way when there is no room."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.engines.base import Failure
from rlaif.train.batches import collate
from rlaif.train.items import Encoder, digest
from rlaif.train.rows import Example
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
