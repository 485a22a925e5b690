"""The lab's tokenizer carries any text, keeps labels apart and hides its markers from content."""

from __future__ import annotations

import pytest

from rlaif.critic.templates import load_template
from rlaif.engines.tokens import PromptEncoder
from rlaif.lab.tokenizer import END, START, THINK
from rlaif.lab.world import rows


@pytest.mark.parametrize("text", ["", "héllo — 你好\n\n 2024\t</b>", "x" * 500, "\ufffd\u200b🙂", *THINK, START + END])
def test_any_text_survives(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False), skip_special_tokens=False) == text


@pytest.mark.parametrize("mode", ["compare", "score"])
def test_each_label_is_one_token_of_its_own(tokenizer, mode):
    choices = load_template(mode).choices
    spelled = [tokenizer.encode(space + choice, add_special_tokens=False) for choice in choices for space in ("", " ")]
    assert all(len(ids) == 1 for ids in spelled)
    assert len({ids[0] for ids in spelled}) == 2 * len(choices)
    PromptEncoder(tokenizer).label_ids(choices)


def test_words_of_the_world_are_single_tokens(tokenizer):
    # Flattened frequencies: the names that carry the facts must not be split.
    for row in rows(200, responses=1):
        text = row["responses"][0]["text"]
        assert len(tokenizer.encode(text, add_special_tokens=False)) <= len(text.split()) * 1.5 + 1


def test_think_is_added_but_not_special(tokenizer):
    for token in THINK:
        (number,) = tokenizer.encode(token, add_special_tokens=False)
        assert not tokenizer.added_tokens_decoder[number].special
        assert number not in tokenizer.all_special_ids


def test_chat_template(tokenizer):
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True)
    assert chat == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert (tokenizer.eos_token, tokenizer.pad_token) == (END, "<|endoftext|>")
