"""Rows from the ``datasets`` library: a name on the hub, streamed, or a folder that ``save_to_disk`` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlaif.data.formats import Record
from rlaif.errors import UsageError


def hub_records(source: str) -> Iterator[Record]:
    """The rows of ``NAME[:split]`` or ``NAME/config[:split]``, streamed; NAME is one word or ``owner/name``.

    The split is ``train`` where none is named and there is more than one. Raises UsageError where the name, the
    configuration or the split does not exist, or where the hub cannot be reached.
    """
    import datasets
    from huggingface_hub import HfApi

    name, _, split = source.partition(":")
    owner_and_name, config = name, None
    if name.count("/") == 2:
        owner_and_name, _, config = name.rpartition("/")
    try:
        # Asked once here, because load_dataset meets a mistyped file name without a network with half a minute of retries.
        HfApi().dataset_info(owner_and_name, timeout=20)
        splits = datasets.load_dataset(owner_and_name, config, streaming=True)
    # The hub's client raises many kinds (connection, HTTP status, missing name, missing configuration), all the user's.
    except Exception as error:
        first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UsageError(f"{source}: no such file or folder, and no dataset of that name can be loaded: {first_line}") from None
    return enumerate(_split(source, splits, split), 1)


def folder_dataset(folder: Path) -> Any | None:
    """The dataset that ``save_to_disk`` wrote to ``folder`` (memory-mapped), None where the folder is something else."""
    import datasets

    if (folder / "dataset_dict.json").is_file():
        names = ", ".join(sorted(str(item) for item in folder.iterdir() if item.is_dir()))
        raise UsageError(f"{folder}: a dataset with several splits; name one of its folders: {names}")
    if not (folder / "state.json").is_file():
        return None
    try:
        return datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{folder}: the saved dataset cannot be loaded: {error}") from None


def _split(source: str, splits: Any, wanted: str) -> Any:
    names = list(splits)
    if not wanted:
        wanted = names[0] if len(names) == 1 else "train"
    if wanted not in names:
        raise UsageError(f"{source}: no split {wanted!r}; the dataset has {', '.join(names)} (write NAME:SPLIT)")
    return splits[wanted]
