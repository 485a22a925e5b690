"""Tokenizers and a model made on the spot: small, seeded, and of kinds that trip encoders up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

TEXT = ["You compare two responses to a conversation by one principle. Answer A or B.", "1 2 3 4 5 6 7 8 9 hello world"]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer(chat_template: str | None = CHATML) -> PreTrainedTokenizerFast:
    """Byte-level BPE with special tokens, and with added tokens that are not marked special."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=512, show_progress=False, special_tokens=SPECIAL, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXT, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.add_tokens([AddedToken("<think>", special=False), AddedToken("</think>", special=False)])
    fast.chat_template = chat_template
    return fast


def piece_tokenizer() -> PreTrainedTokenizerFast:
    """Unigram over words marked by ▁, whose ordinary vocabulary also spells its special tokens."""
    letters = [(character, -6.0) for character in map(chr, range(33, 127))]
    words = [("<unk>", 0.0), ("▁", -3.0), ("</s>", -1.0), ("<s>", -1.0), ("▁hello", -2.0), ("▁A", -2.5), ("▁B", -2.5)]
    tokenizer = Tokenizer(models.Unigram([*words, *letters], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def save_model(folder: Path, seed: int = 0, **options: Any) -> Path:
    """A random Qwen3 with the byte tokenizer, saved as a Hugging Face folder. options: of its configuration."""
    tokenizer = byte_tokenizer()
    torch.manual_seed(seed)
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 64,
        "max_position_embeddings": 512,
        "tie_word_embeddings": False,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
    }
    config = Qwen3Config(**{**shape, **options})
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_broken_model(folder: Path) -> Path:
    """The same, whose numbers are NaN wherever a text holds a Z."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(save_model(folder))
    model = Qwen3ForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.get_input_embeddings().weight[tokenizer.encode("Z", add_special_tokens=False)] = float("nan")
    model.save_pretrained(folder)
    return folder
