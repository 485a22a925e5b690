"""What a run wrote, on the Hugging Face hub: a dataset with its card, or a model with its own. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rlaif.errors import RunFailed, UsageError, one_line
from rlaif.settings import setting

DATASET = ("README.md", "run.json", "config.yaml", "report.html", "metrics.jsonl", "failures.jsonl", "*.parquet")
"""What goes out of a run's folder; rows as Parquet alone, which the card names."""
Kind = Literal["dataset", "model"]


@dataclass(frozen=True, kw_only=True)
class HubConfig:
    """The one setting of every command whose result can go to the hub."""

    push_to_hub: str = setting(
        "", "Also put the result there, OWNER/NAME on the Hugging Face hub; made private.", panel="Output", resumable=True
    )


def check_hub(name: str) -> None:
    """Before anything is asked or trained: raises UsageError where ``name`` is none, or the hub lets nobody in."""
    if not name:
        return
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UsageError(f"--push-to-hub {name}: no name on the hub: {one_line(str(error))}") from None
    try:
        HfApi().whoami()
    except Exception as error:  # no token, one that is not valid, no network: each has its own kind, all are the user's
        raise UsageError(
            f"--push-to-hub {name}: the hub does not know who you are ({one_line(str(error))}); hf auth login, or set HF_TOKEN"
        ) from None


def push(name: str, folder: Path, kind: Kind, files: Sequence[str] | None = None) -> None:
    """Put ``folder`` into the repository ``name``, which is made, private, where there is none; nothing for no name.

    files: patterns of what goes; None for all. Raises RunFailed where the hub does not take it: what was written stays.
    """
    if not name:
        return
    from huggingface_hub import HfApi

    api = HfApi(library_name="rlaif")
    try:
        api.create_repo(name, repo_type=kind, private=True, exist_ok=True)
        api.upload_folder(
            repo_id=name,
            folder_path=folder,
            repo_type=kind,
            allow_patterns=list(files) if files else None,
            ignore_patterns=[".*", "*.part"],
            commit_message="Written by rlaif",
        )
    except Exception as error:  # as above
        raise RunFailed(
            f"--push-to-hub {name}: all is written to {folder}, and the hub did not take it ({one_line(str(error))}); "
            "the same command tries again"
        ) from None
