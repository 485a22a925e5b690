"""What makes two engines the same engine: the model's content, not its name alone."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from threading import Thread

import httpx

from rlaif.engines.config import LAB
from rlaif.errors import UsageError, one_line

PATIENCE = 5.0
"""Seconds to wait for a sign of the hub."""

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
    return _on_hub(model, trust_remote_code)


def _on_hub(model: str, trust_remote_code: bool) -> tuple[str, str]:
    """As ``resolve``. Where the hub cannot be reached, at once from its cache: the hub's client would try for half a minute."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(model, "config.json")
    except HFValidationError:
        raise UsageError(f"{model!r} is no folder here, and no name of a model on the hub{_nearest(model)}") from None
    if not _hub_answers():
        if not isinstance(cached, str):
            known = "neither a folder here nor a model in the hub's cache"
            raise UsageError(f"{model!r} is {known}, and the hub cannot be reached{_nearest(model)}")
        return cached.rpartition("/config.json")[0], f"{model}@{Path(cached).parent.name}"
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(model, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(
            f"{model!r} is neither a folder here nor a model that the hub gives{_nearest(model)}: {one_line(first)}"
        ) from None
    return model, f"{model}@{getattr(config, '_commit_hash', None) or 'unknown-revision'}"


def _hub_answers() -> bool:
    """Whether the hub may be asked and says anything, within ``PATIENCE`` seconds."""
    from huggingface_hub import constants

    heard: list[int] = []

    def ask() -> None:
        with suppress(httpx.HTTPError, httpx.InvalidURL):
            heard.append(httpx.head(constants.ENDPOINT, timeout=PATIENCE).status_code)

    if constants.HF_HUB_OFFLINE:
        return False
    asking = Thread(target=ask, daemon=True)  # a thread: looking up a name heeds no time limit
    asking.start()
    asking.join(PATIENCE)
    return bool(heard)


def _nearest(model: str) -> str:
    """The known name that is most like ``model``: of the lab's models, and of those in the hub's cache."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    held = [path.name.removeprefix("models--").replace("--", "/") for path in cache.glob("models--*")]
    lab = ["lab", *(f"lab:{path.parent.name}" for path in LAB.glob("*/config.json"))]
    close = get_close_matches(model, [*lab, *held], n=1)
    return f"; did you mean {close[0]}?" if close else ""


def content_hash(folder: Path) -> str:
    """Sixteen hexadecimal digits over every file of ``folder`` that could change an answer."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _DECISIVE for path in folder.glob(pattern) if path.is_file()}):
        if path.name in ("build.json", "trainer_state.json"):
            continue
        with path.open("rb") as file:
            digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()[:16]
