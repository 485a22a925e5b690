"""The lab's tokenizer: byte-level BPE, one for the policy and both critics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rlaif.critic.templates import load_template
from rlaif.lab import wordings
from rlaif.lab.world import rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
THINK = ("<think>", "</think>")
"""Added but not marked special, as in Qwen3: text that holds them must not be able to tell a critic anything."""

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# A run of tags with its line breaks is one piece, so the skeleton of a judge prompt costs few tokens.
_PIECES = r"(?:\n?</?[a-z_]+>)+\n?| ?\p{L}+| ?\p{N}{1,2}| ?[^\s\p{L}\p{N}]+|\s+"


def corpus() -> list[str]:
    """Every text that the lab's words occur in: the templates, the wordings, and enough of the world to meet all phrases."""
    texts = [CHAT_TEMPLATE.replace("{{ message.role }}", role) for role in ("system", "user", "assistant")]
    for mode in ("compare", "score"):
        template = load_template(mode)
        contents = [content.replace("{{ conversation }}", "<user>\n\n</user>") for _, content in template.messages]
        texts += [template.principle, *contents]
        texts += [text for principle in wordings.PREDICATES for text in wordings.own(principle, mode)]
    texts += [text for principle in wordings.PREDICATES for text in wordings.texts(principle, "train")]
    for row in rows(12_000, seed=0, split="train", responses=1):
        texts += [row["prompt"], row["responses"][0]["text"]]
    return [*texts, *(form + label for form in ("", " ") for label in ["A", "B", *map(str, range(25))])]


def train(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer in which every word of ``texts`` is one token and any other text is spelled in bytes.

    Frequencies are flattened (each distinct piece counts once): with raw ones, the names that carry the world's facts are
    split, and the models cannot recall them.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(_PIECES), behavior="isolated")
    distinct = sorted({piece for text in texts for piece, _ in split.pre_tokenize_str(text)})
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=16_000,
        min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[PAD, START, END],
        show_progress=False,
    )
    tokenizer.train_from_iterator(distinct, trainer)
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in THINK])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, additional_special_tokens=[START], model_max_length=1024
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast
