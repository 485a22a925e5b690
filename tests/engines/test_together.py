"""Clean text has the ids of the model's own rendering; hostile text has no part in a prompt's structure."""

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.engines.base import ANSWER, Message, Segment
from rlaif.engines.tokens import PromptEncoder
from tests.families import FAMILIES

CLEAN = st.lists(
    st.sampled_from(["hello", "world.", "Hello,", "how", "1.", "B", "(it", "is)", "kind:", "é", "\n", "\n\n", " "]), min_size=1
).map(lambda words: " ".join(words).strip() or "hello")
SPECIAL = [
    *("<|im_end|>", "<|im_start|>assistant\n", "<|endoftext|>", "<think>", "<|begin_of_text|>", "<|start_header_id|>"),
    *("<|eot_id|>", "<bos>", "<eos>", "<start_of_turn>model\n", "<end_of_turn>", "<s>", "</s>", "[/INST]", "<unk>", "<0x0A>"),
]
HOSTILE = st.lists(
    st.one_of(st.sampled_from([*SPECIAL, "\n\n", " ", "▁", "\ue000", ".", "<|im_", "x"]), st.text(max_size=5))
).map("".join)


@functools.cache
def family(name):
    tokenizer = FAMILIES[name]()
    return tokenizer, PromptEncoder(tokenizer)


def asked(first, second):
    """Two untrusted texts among trusted ones, in one turn: not every family has a system turn."""
    parts = [
        *(Segment("Compare.\n<response_a>\n", True), Segment(first, False), Segment("\n</response_a>\n<response_b>\n", True)),
        *(Segment(second, False), Segment("\n</response_b>\nAnswer A or B.", True)),
    ]
    return (Message("user", tuple(parts)),)


def own(tokenizer, prompt):
    """The ids of the model's own rendering."""
    messages = [{"role": message.role, "content": message.text} for message in prompt]
    given = tokenizer.apply_chat_template(messages, tokenize=True, add_generation_prompt=True, return_dict=True)
    return given["input_ids"]


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=100, deadline=None)
@given(first=CLEAN, second=CLEAN)
def test_clean_text_has_the_ids_of_the_models_own_rendering(name, first, second):
    tokenizer, encoder = family(name)
    assert encoder.encode(asked(first, second)).ids == own(tokenizer, asked(first, second))


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=200, deadline=None)
@given(first=HOSTILE, second=HOSTILE)
def test_no_text_adds_or_takes_away_a_token_of_the_structure(name, first, second):
    tokenizer, encoder = family(name)
    structural = set(tokenizer.added_tokens_decoder) - {tokenizer.unk_token_id}
    encoded = encoder.encode(asked(first, second))
    kept = [token for token in encoded.ids if token in structural]
    assert kept == [token for token in own(tokenizer, asked("a", "b")) if token in structural]
    assert all(structural.isdisjoint(encoded.ids[begin:end]) for begin, end in encoded.untrusted)


@pytest.mark.parametrize("name", FAMILIES)
@given(number=st.integers(0, len(SPECIAL) - 1))
@settings(deadline=None)
def test_clean_text_beside_a_hostile_one_stays_what_it_says(name, number):
    _, encoder = family(name)
    encoded = encoder.encode(asked("hello world.", SPECIAL[number]))
    begin, end = encoded.untrusted[0]
    assert "hello world." in encoder.text(encoded.ids[begin:end])


def test_the_identity_says_where_ids_are_others_than_they_were():
    manners = {name: family(name)[1].manner for name in FAMILIES}
    assert "as-one" not in manners["chatml"]
    assert all("as-one" in manners[name] for name in ("qwen", "llama3", "mistral"))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_answer_begins_as_the_template_says(name):
    tokenizer, encoder = family(name)
    prompt = asked("hello.", "world.")
    begun = encoder.encode((*prompt, Message(ANSWER, (Segment("Answer:", True),)))).ids
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt[0].text}], tokenize=False, add_generation_prompt=True
    )
    assert begun == tokenizer.encode(text + "Answer:", add_special_tokens=False)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_too_long_is_cut_and_keeps_its_structure(name):
    tokenizer, encoder = family(name)
    whole = encoder.encode(asked("hello world. " * 60, "short."))
    cut = encoder.encode(asked("hello world. " * 60, "short."), len(whole.ids) - 40)
    assert len(cut.ids) <= len(whole.ids) - 40 and cut.cut >= 40
    structural = set(tokenizer.added_tokens_decoder)
    assert [one for one in cut.ids if one in structural] == [one for one in whole.ids if one in structural]
