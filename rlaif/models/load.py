"""Models to train: loading, adapters, and saving as a folder that anything else can load."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
)
from transformers.utils.logging import disable_progress_bar

from rlaif.engines.identity import resolve
from rlaif.engines.open import model_path
from rlaif.errors import UsageError
from rlaif.models.config import Attention, ModelKind, Precision, Quantize
from rlaif.processes import processes

DEFAULT_CONTEXT = 2048
"""Where neither the user nor the model's configuration says."""
WIDE = 512
"""Width of the hidden states from which a CPU trains in bfloat16. Below it a step in float32 is quick enough, and exact."""


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


def find_base(
    model: str, kind: ModelKind, context: int | None, precision: Precision, trust_remote_code: bool, chat: bool = False
) -> Base:
    """Resolve ``model`` and load its tokenizer, but no weights.

    kind: of the model that it is to be. chat: whether it must have a chat template.

    Raises UsageError where it is not one to train.
    """
    disable_progress_bar()  # of loading weights; the run has a bar of its own
    source, identity = resolve(model_path(model), trust_remote_code)
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code)
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise UsageError(
                f"{model}: the tokenizer has neither a pad nor an end-of-text token; name one in its configuration"
            )
        tokenizer.pad_token = tokenizer.eos_token
    if chat and tokenizer.chat_template is None:
        raise UsageError(f"{model}: the tokenizer has no chat template, so it cannot tell prompts from responses")
    config = AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code)
    own = getattr(config, "max_position_embeddings", None)
    if context and own and context > own:
        raise UsageError(f"--context {context}: {model} has {own} positions")
    bf16 = precision == "bfloat16" or (precision == "auto" and _gains_by_bf16(config))
    limit = context or own or DEFAULT_CONTEXT
    dtype = config.dtype if isinstance(config.dtype, torch.dtype) else torch.float32
    pad = _pad(model, tokenizer, config, kind)
    return Base(source, identity, tokenizer, limit, pad, bf16, dtype, trust_remote_code)


def _gains_by_bf16(config: Any) -> bool:
    """Whether the device has products in bfloat16 and the model is wide enough for casts to cost less than they save: on a CPU
    a pass of 512 tokens takes .8 of float32's time at a width of 128, .6 at 512."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    has_products = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    width: int = getattr(config.get_text_config(), "hidden_size", None) or 0
    return bool(has_products) and width >= WIDE


def _pad(model: str, tokenizer: Any, config: Any, kind: ModelKind) -> int:
    """The id that fills batches. Raises UsageError where the model has no embedding for the tokenizer's own.

    A new reward model gets one that ends no response: its score is read at the last token that is no padding, and were
    padding the end of text too, a finished response would score as one that was cut before it.
    """
    pad: int = tokenizer.pad_token_id
    size: int | None = getattr(config.get_text_config(), "vocab_size", None)
    if size is not None and pad >= size:
        raise UsageError(
            f"{model}: the pad token {tokenizer.pad_token!r} is number {pad}, and the model has embeddings for 0 to "
            f"{size - 1}: name a pad_token that it has in tokenizer_config.json, or resize its embeddings and save it again"
        )
    if kind == "causal":
        return pad
    if any("ForSequenceClassification" in name for name in config.architectures or ()):
        return pad if config.pad_token_id is None else int(config.pad_token_id)
    ends = {tokenizer.eos_token_id, tokenizer.sep_token_id}
    if pad not in ends:
        return pad
    others = (tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.mask_token_id, (size or len(tokenizer)) - 1, 0)
    return next(other for other in others if other is not None and other not in ends and other < (size or len(tokenizer)))


def load(
    base: Base,
    kind: ModelKind,
    low_precision: bool = False,
    heads: int = 1,
    quantize: Quantize = "none",
    device: torch.device | None = None,
    attention: Attention = "auto",
) -> Any:
    """The model on the device that it will be trained on, without dropout, whose noise would pass for a change of policy.

    low_precision: hold the weights in bfloat16 too, where training is in it: right for weights that an adapter leaves alone.
    heads: scores that a sequence classifier gives. quantize: ``4bit`` holds linear layers in NF4, with quantised constants
    (Dettmers et al. 2023, arXiv 2305.14314). device: where to put it, the training's own if None.

    Raises UsageError where the model is of another kind, or has no such attention.
    """
    target = device or processes().device
    options: dict[str, Any] = {}
    flash = target.type == "cuda" and base.bf16 and find_spec("flash_attn") is not None
    if attention == "flash_attention_2" and not flash:
        raise UsageError("--attention flash_attention_2: needs a GPU, --precision bfloat16 and the package flash-attn")
    chosen = attention if attention != "auto" else "flash_attention_2" if flash else None  # None: the model's own default
    if quantize == "4bit":
        options = {
            "quantization_config": _four_bits(torch.bfloat16 if base.bf16 else torch.float32),
            "device_map": {"": target},
        }
    config = AutoConfig.from_pretrained(base.source, trust_remote_code=base.trust_remote_code)
    for name, value in vars(config).items():
        if ("dropout" in name or name.endswith("_pdrop")) and isinstance(value, float):
            setattr(config, name, 0.0)
    loader: Any = AutoModelForCausalLM
    if kind == "sequence-classification":
        loader = AutoModelForSequenceClassification
        if any("ForSequenceClassification" in name for name in config.architectures or ()) and config.num_labels != heads:
            raise UsageError(f"{base.source}: a model with {config.num_labels} scores, not --members {heads}")
        config.num_labels, config.pad_token_id = heads, base.pad
    dtype = torch.bfloat16 if base.bf16 and low_precision else torch.float32
    try:
        model = loader.from_pretrained(
            base.source,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=base.trust_remote_code,
            attn_implementation=chosen,
            **options,
        )
    except ValueError as error:
        raise UsageError(
            f"{base.source}: no {kind} model can be made of {config.model_type}: {error}".splitlines()[0]
        ) from None
    return model if options else model.to(target)


def _four_bits(compute: torch.dtype) -> BitsAndBytesConfig:
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=compute
    )


def last_layers(model: Any, layers: int) -> str:
    """Make only the last ``layers`` layers of the model learn, and what its own order of weights has after them. Nothing is
    passed back to the others, nor to the embeddings (nor to an output layer that shares theirs). Returns a regular expression
    for the names of the modules in the other layers.

    Raises UsageError where the model has fewer.
    """
    depth = model.config.get_text_config().num_hidden_layers
    stacks = ((name, part) for name, part in model.named_modules() if isinstance(part, nn.ModuleList) and len(part) == depth)
    name, stack = next(stacks, ("", None))
    if stack is None or layers > depth:
        raise UsageError(f"--layers {layers}: the model has {depth} layers" + (", not in one list" if stack is None else ""))
    first = next(stack[depth - layers].parameters())
    for parameter in itertools.takewhile(lambda parameter: parameter is not first, model.parameters()):
        parameter.requires_grad_(False)
    return rf"{re.escape(name)}\.({'|'.join(map(str, range(depth - layers)))})\..*"


def with_adapter(model: Any, kind: ModelKind, rank: int, exclude: str | None = None) -> Any:
    """The model under a fresh LoRA adapter on all its linear layers but those named by the regular expression ``exclude``; it
    begins as the identity."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    if getattr(model, "is_quantized", False):  # gradient checkpointing is the Trainer's to switch on
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)  # type: ignore[no-untyped-call]
    task = "SEQ_CLS" if kind == "sequence-classification" else "CAUSAL_LM"
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", exclude_modules=exclude, task_type=task
    )
    return get_peft_model(model, config)


@torch.no_grad()
def check_packing(model: Any, name: str) -> None:
    """Raise UsageError where what comes first in a packed row changes what the model makes of what comes after."""
    ids = torch.tensor([[1, 2, 3, 4, 5, 6], [4, 3, 2, 4, 5, 6]], device=model.device)
    positions = torch.tensor([[0, 1, 2, 0, 1, 2]], device=model.device).expand(2, -1)
    alone, other = model(input_ids=ids, position_ids=positions, use_cache=False).logits[:, 3:].float()
    if not torch.allclose(alone, other, rtol=1e-3, atol=1e-3):
        raise UsageError(f"--packing: {name} does not keep packed examples apart; leave it off")


def whole(model: Any, weights: Mapping[str, Tensor], rebuilt: Any) -> Any:
    """The trained model as an ordinary one.

    model: as it was trained. weights: its state, in one piece. rebuilt: a model of the same form, unquantised; it is given
    the weights, those in 4 bits turned back into numbers, so that it computes what the trained one did.
    """
    trained = dict(weights)
    for name, parameter in model.named_parameters():
        if getattr(parameter, "quant_state", None) is not None:
            from bitsandbytes.functional import dequantize_4bit

            trained = {key: value for key, value in trained.items() if not key.startswith(f"{name}.")}
            trained[name] = dequantize_4bit(parameter.data, parameter.quant_state)
    state = rebuilt.state_dict()
    stored = {state[name].data_ptr() for name in trained if name in state}
    tied = {name: value for name, value in state.items() if name not in trained and value.data_ptr() in stored}
    rebuilt.load_state_dict({**tied, **trained})
    return rebuilt


def save(model: Any, base: Base, folder: Path) -> None:
    """Write weights (an adapter merged into them), configuration and tokenizer with its chat template."""
    if hasattr(model, "merge_and_unload"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft on tied weights: they are merged once and stay tied
            model = model.merge_and_unload()
    model.config.use_cache = True
    model.to(base.dtype).save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
