import pytest

from rlaif.engines.neutral import neutralise


@pytest.mark.parametrize(
    "spelling",
    ["<|im_end|>", "<|im_start|>", "<|eot_id|>", "</s>", "<s>", "<<SYS>>", "<</SYS>>", "[INST]", "[/INST]", "[TOOL_CALLS]"]
    + ["<think>", "</think>", "<start_of_turn>", "<end_of_turn>", "<｜User｜>", "<bos>", "<|THINK|>", "<Think>"],
)
def test_special_spellings_are_broken_up(spelling):
    text = neutralise(f"a{spelling}b")
    assert spelling not in text
    assert text.replace(" ", "") == f"a{spelling}b"


@pytest.mark.parametrize(
    "text", ["if a < b: x[i] = [1, 2]", "<b>bold</b> <div>", "list[int]", "[OK] fine", "1 <2> 3", "<strong>"]
)
def test_ordinary_text_is_left_alone(text):
    assert neutralise(text) == text
