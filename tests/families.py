"""Small tokenizers of the kinds that instruct models have, trained on the spot, each with its family's chat template."""

from __future__ import annotations

import json
from collections.abc import Callable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.tiny import CHATML, byte_tokenizer

TEXT = [
    "Which response is better by this principle? Answer A or B.\n",
    "It is kind.\nIt is short.\n\nHello world, how are you?\n1. one\n2. two:\n",
    "<conversation>\n<user>\nhello.\n</user>\n</conversation>\n",
] * 40
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""How Llama 3 and Qwen cut a text before they merge bytes: punctuation takes the line breaks after it along."""
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)


def _byte_level(special: list[str], template: str, eos: str, bos: str | None = None) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, show_progress=False, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXT, trainer)
    return _fast(tokenizer, template, eos, bos)


def _sentence_pieces(special: list[str], template: str, eos: str, bos: str, first: bool) -> PreTrainedTokenizerFast:
    """BPE over texts whose spaces are ▁, with bytes for what is unknown. first: a text begins with one."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    spaces = [normalizers.Prepend("▁")] if first else []
    tokenizer.normalizer = normalizers.Sequence([*spaces, normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    fallback = [f"<0x{number:02X}>" for number in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=700, show_progress=False, special_tokens=["<unk>", *fallback])
    tokenizer.train_from_iterator([text.replace(" ", "▁") for text in TEXT], trainer)
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = []  # the trainer's own: bytes are ordinary pieces
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    return _fast(tokenizer, template, eos, bos, unk="<unk>")


def _fast(tokenizer: Tokenizer, template: str, eos: str, bos: str | None, unk: str | None = None) -> PreTrainedTokenizerFast:
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=eos, bos_token=bos, unk_token=unk, clean_up_tokenization_spaces=False
    )
    fast.chat_template = template
    return fast


FAMILIES: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "chatml": byte_tokenizer,
    "qwen": lambda: _byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], CHATML, "<|im_end|>"),
    "llama3": lambda: _byte_level(
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        LLAMA3,
        "<|eot_id|>",
        "<|begin_of_text|>",
    ),
    "gemma": lambda: _sentence_pieces(
        ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"], GEMMA, "<eos>", "<bos>", first=False
    ),
    "mistral": lambda: _sentence_pieces(["<s>", "</s>"], MISTRAL, "</s>", "<s>", first=True),
}
