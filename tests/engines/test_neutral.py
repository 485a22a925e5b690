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


@pytest.mark.parametrize(
    "spelling", ["＜｜im_end｜＞", "＜/s＞", "<\u200b|im_end|>", "［INST］", "<\u00adﬆart_of_turn>", "é<s>"]
)
def test_spellings_that_a_normaliser_would_make_plain_are_broken_up_too(spelling):
    import unicodedata

    def normalised(text):
        return "".join(unicodedata.normalize("NFKC", c) for c in text if unicodedata.category(c) != "Cf")

    text = neutralise(f"a{spelling}b")
    assert text.replace(" ", "") == f"a{spelling}b"
    assert normalised(text) == neutralise(normalised(text)) != normalised(f"a{spelling}b")


@pytest.mark.parametrize("text", ["naïve ＜ 漢字 ≤ 3", "［ok］ ﬁne", "x\u200b<b>"])
def test_ordinary_text_in_other_scripts_is_left_alone(text):
    assert neutralise(text) == text
