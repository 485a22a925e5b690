import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.rl.monitor.texts import boilerplate, distinct, ngrams, self_bleu

TEXTS = st.lists(st.lists(st.sampled_from("abc"), max_size=7), min_size=2, max_size=6)


def test_ngrams():
    assert list(ngrams("abcd", 2)) == [("a", "b"), ("b", "c"), ("c", "d")]
    assert list(ngrams("a", 2)) == []


@given(TEXTS, st.integers(1, 3))
def test_distinct_counts_each_ngram_once(texts, n):
    every = [tuple(words[at : at + n]) for words in texts for at in range(len(words) - n + 1)]
    value = distinct(texts, n)
    assert value == len(set(every)) / len(every) if every else math.isnan(value)


def bleu(candidate, references, longest=4):
    """By the definition, one text at a time."""
    logs = []
    for n in range(1, longest + 1):
        mine = Counter(tuple(candidate[at : at + n]) for at in range(len(candidate) - n + 1))
        if not mine:
            break
        theirs = [Counter(tuple(text[at : at + n]) for at in range(len(text) - n + 1)) for text in references]
        matched = sum(min(many, max(each[ngram] for each in theirs)) for ngram, many in mine.items())
        if not matched:
            return 0.0
        logs.append(math.log(matched / sum(mine.values())))
    if not logs:
        return 0.0
    nearest = sorted((abs(len(text) - len(candidate)), len(text)) for text in references)[0][1]
    short = min(1.0, math.exp(1 - nearest / len(candidate)))
    return short * math.exp(sum(logs) / len(logs))


@given(TEXTS)
def test_self_bleu_is_the_mean_of_every_text_against_the_rest(texts):
    expected = [bleu(text, texts[:place] + texts[place + 1 :]) for place, text in enumerate(texts)]
    assert self_bleu(texts) == pytest.approx(sum(expected) / len(texts))


def test_self_bleu_of_copies_is_one_and_of_strangers_zero():
    assert self_bleu(["a b c d e".split()] * 3) == pytest.approx(1.0)
    assert self_bleu([list("abc"), list("xyz")]) == 0.0
    assert math.isnan(self_bleu([list("abc")]))


@given(TEXTS, st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_boilerplate_is_the_chance_of_meeting_an_ngram_elsewhere(texts, prompts):
    prompts = prompts[: len(texts)]
    chances = []
    for words, prompt in zip(texts, prompts, strict=True):
        for ngram in ngrams(words, 2):
            others = set(prompts) - {prompt}
            answered = {p for w, p in zip(texts, prompts, strict=True) if ngram in set(ngrams(w, 2))}
            chances += [len(answered & others) / len(others)] if others else []
    value = boilerplate(texts, prompts, 2)
    assert value == pytest.approx(sum(chances) / len(chances)) if chances else math.isnan(value)


def test_repeating_oneself_to_one_prompt_is_no_boilerplate():
    phrase = "you are valid valued and cared for".split()
    assert boilerplate([phrase, phrase, list("abcdefg")], [0, 0, 1]) == 0.0
    assert boilerplate([phrase, phrase, phrase], [0, 1, 2]) == 1.0
