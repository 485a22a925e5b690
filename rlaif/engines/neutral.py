"""What a model or a text brings along and an engine does not follow: generation settings, and special-token spellings."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

_DRAWING = (
    "temperature top_k top_p min_p typical_p top_h epsilon_cutoff eta_cutoff repetition_penalty encoder_repetition_penalty "
    "no_repeat_ngram_size bad_words_ids sequence_bias suppress_tokens begin_suppress_tokens forced_bos_token_id "
    "forced_eos_token_id exponential_decay_length_penalty guidance_scale num_beams penalty_alpha min_length min_new_tokens"
).split()
"""Settings of ``generation_config.json`` that change which texts are drawn, and how often."""
_NAMES = "think|tool_call|tool_response|tools|start_of_turn|end_of_turn|bos|eos|pad|unk|mask|s|image|audio|video"
_SPELLING = re.compile(rf"<(?=[|｜]|(?i:/?(?:{_NAMES})>|</?sys>>))|\[(?=/?[A-Z_]{{3,}}\])")
"""The opening character of special tokens in the families of chat templates that are in use."""


def neutralise(text: str) -> str:
    """``text`` with a space after the first character of every special-token spelling: ``<|im_end|>`` → ``< |im_end|>``.

    Spellings in compatibility forms (``＜｜``) or with invisible characters between count too: a tokenizer that normalises
    its text would see them plain.
    """
    if text.isascii():
        return _SPELLING.sub(lambda match: match.group() + " ", text)
    plain = [(form, index) for index, character in enumerate(text) for form in _plain(character)]
    cuts = [0, *(plain[match.start()][1] + 1 for match in _SPELLING.finditer("".join(form for form, _ in plain))), len(text)]
    return " ".join(text[start:end] for start, end in itertools.pairwise(cuts))


def _plain(character: str) -> str:
    """What a normaliser may make of a character: its compatibility form, nothing for an invisible one."""
    return "" if unicodedata.category(character) == "Cf" else unicodedata.normalize("NFKC", character)


def neutral_notes(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """What ``run.json`` says of a model's generation settings: they are not used, in any engine."""
    held = [f"{name}={settings[name]}" for name in _DRAWING if settings.get(name) is not None]
    if not held:
        return ()
    return (f"the model's generation settings ({', '.join(held)}) are not used: texts are drawn as the run says",)
