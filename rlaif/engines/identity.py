"""What makes two engines the same engine: the model's content, not its name alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

from rlaif.errors import UsageError

_DECISIVE = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")


def resolve(model: str, trust_remote_code: bool) -> tuple[str, str]:
    """(where to load from, what the model is called in identities) for a local folder or a hub id.

    A local folder is named by the hash of its weights, tokenizer and configuration, so that moving it re-asks nothing and
    retraining it re-asks everything; a hub id by its commit. Raises UsageError when there is no such model.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UsageError(f"{model}: this folder holds no model (no config.json)")
        if not any(folder.glob("*.safetensors")):
            raise UsageError(f"{model}: no .safetensors weights; rlaif loads no pickled ones (save with save_pretrained)")
        return str(folder), f"{folder.resolve().name}@{content_hash(folder)}"
    if model.startswith((".", "/", "~")):
        raise UsageError(f"{model}: no such folder")
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(model, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(f"{model!r} is neither a folder here nor a model that the hub gives: {first}") from None
    return model, f"{model}@{getattr(config, '_commit_hash', None) or 'unknown-revision'}"


def content_hash(folder: Path) -> str:
    """Sixteen hexadecimal digits over every file of ``folder`` that could change an answer."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _DECISIVE for path in folder.glob(pattern)}):
        if path.name in ("build.json", "trainer_state.json"):
            continue
        with path.open("rb") as file:
            digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()[:16]
