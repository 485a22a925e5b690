"""Models to train: loading, adapters, and saving as a folder that anything else can load."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from rlaif.engines.identity import resolve
from rlaif.engines.open import lab_model
from rlaif.errors import UsageError
from rlaif.train.config import Method, Precision

DEFAULT_CONTEXT = 2048
"""Where neither the user nor the model's configuration says."""


class Base(NamedTuple):
    """The model that training starts from. source: where to load it. identity: its content's name. pad: the id that fills
    batches. bf16: whether to train in it. dtype: of the weights as they came, and as they will be saved."""

    source: str
    identity: str
    tokenizer: Any
    context: int
    pad: int
    bf16: bool
    dtype: torch.dtype
    trust_remote_code: bool


def find_base(model: str, method: Method, context: int | None, precision: Precision, trust_remote_code: bool) -> Base:
    """Resolve ``model`` and load its tokenizer, but no weights. Raises UsageError where ``method`` cannot train it."""
    disable_progress_bar()  # of loading weights; the run has a bar of its own
    source, identity = resolve(lab_model(model) or model, trust_remote_code)
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code)
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise UsageError(
                f"{model}: the tokenizer has neither a pad nor an end-of-text token; name one in its configuration"
            )
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None and method not in ("reward", "sft"):
        raise UsageError(f"{model}: the tokenizer has no chat template, so it cannot tell prompts from responses")
    config = AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code)
    own = getattr(config, "max_position_embeddings", None)
    if context and own and context > own:
        raise UsageError(f"--context {context}: {model} has {own} positions")
    bf16 = precision == "bfloat16" or (precision == "auto" and torch.cuda.is_available() and torch.cuda.is_bf16_supported())
    limit = context or own or DEFAULT_CONTEXT
    dtype = config.dtype if isinstance(config.dtype, torch.dtype) else torch.float32
    return Base(source, identity, tokenizer, limit, tokenizer.pad_token_id, bf16, dtype, trust_remote_code)


def load(base: Base, method: Method, low_precision: bool = False) -> Any:
    """The model on the device that it will be trained on, without dropout, whose noise would pass for a change of policy.

    low_precision: hold the weights in bfloat16 too, where training is in it: right for weights that an adapter leaves alone.
    """
    config = AutoConfig.from_pretrained(base.source, trust_remote_code=base.trust_remote_code)
    for name, value in vars(config).items():
        if ("dropout" in name or name.endswith("_pdrop")) and isinstance(value, float):
            setattr(config, name, 0.0)
    kind: Any = AutoModelForCausalLM
    if method == "reward":
        kind = AutoModelForSequenceClassification
        config.num_labels, config.pad_token_id = 1, base.pad
    dtype = torch.bfloat16 if base.bf16 and low_precision else torch.float32
    try:
        model = kind.from_pretrained(
            base.source, config=config, dtype=dtype, use_safetensors=True, trust_remote_code=base.trust_remote_code
        )
    except ValueError as error:
        raise UsageError(f"{base.source}: {method} cannot train a {config.model_type} model: {error}".splitlines()[0]) from None
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def with_adapter(model: Any, method: Method, rank: int) -> Any:
    """The model under a fresh LoRA adapter on all its linear layers; it begins as the identity."""
    from peft import LoraConfig, get_peft_model

    task = "SEQ_CLS" if method == "reward" else "CAUSAL_LM"
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type=task)
    return get_peft_model(model, config)


def save(model: Any, base: Base, folder: Path) -> None:
    """Write weights (an adapter merged into them), configuration and tokenizer with its chat template."""
    if hasattr(model, "merge_and_unload"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft on tied weights: they are merged once and stay tied
            model = model.merge_and_unload()
    model.config.use_cache = True
    model.to(base.dtype).save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
