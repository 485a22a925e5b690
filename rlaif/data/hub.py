"""Rows from the ``datasets`` library: a name on the hub, streamed, or a folder that ``save_to_disk`` wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rlaif.data.formats import Record
from rlaif.errors import UsageError

PREFIX = "hf://datasets/"
_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+){0,2}(:[\w.\[\]%-]+)?", re.ASCII)


class Named(NamedTuple):
    """What a source names on the hub. config, split: '' where the source names none."""

    name: str
    config: str
    split: str


def named(source: str) -> Named | None:
    """``NAME[:split]`` or ``NAME/config[:split]``, also after ``hf://datasets/``; NAME is one word or ``owner/name``. None for
    a source that is none of this, or a file or folder here."""
    text = source.removeprefix(PREFIX)
    if not _NAME.fullmatch(text) or (text == source and Path(source).exists()):
        return None
    name, _, split = text.partition(":")
    config = ""
    if name.count("/") == 2:
        name, _, config = name.rpartition("/")
    return Named(name, config, split)


def hub_records(source: str) -> Iterator[Record]:
    """The rows of what the source names (``named``), streamed, of the revision that the hub has now.

    The split is ``train`` where none is named and there is more than one. Raises UsageError where the name, the
    configuration or the split does not exist, or where the hub cannot be reached.
    """
    import datasets

    found = named(source)
    assert found, "the caller has looked"
    try:
        # Asked once here, because load_dataset meets a mistyped file name without a network with half a minute of retries.
        revision = _info(found.name).sha
        splits = datasets.load_dataset(found.name, found.config or None, revision=revision, streaming=True)
    # The hub's client raises many kinds (connection, HTTP status, missing name, missing configuration), all the user's.
    except Exception as error:
        first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UsageError(f"{source}: no such file or folder, and no dataset of that name can be loaded: {first_line}") from None
    return enumerate(_split(source, splits, found.split), 1)


def revision(source: str) -> str | None:
    """Which content of the dataset the hub has now; None where the source is none on the hub, or cannot be asked about."""
    found = named(source)
    try:
        return _info(found.name).sha if found else None
    except Exception:  # as above; who reads the rows says what is wrong
        return None


def origin(source: str) -> dict[str, str]:
    """Where the rows come from and under which licence, as far as anybody says: of a dataset on the hub, or of a folder whose
    card does; empty otherwise."""
    from huggingface_hub import metadata_load

    found, card = named(source), Path(source) / "README.md"
    try:
        if found:
            data = _info(found.name).card_data
            stated = {"dataset": found.name, "licence": data.get("license") if data else None}
        else:
            held = (metadata_load(card) if card.is_file() else None) or {}
            sources = held.get("source_datasets") or [None]
            stated = {"dataset": sources[0], "licence": held.get("license")}
    except Exception:  # a card that cannot be read states nothing
        return {}
    return {name: value if isinstance(value, str) else ", ".join(value) for name, value in stated.items() if value}


def _info(name: str) -> Any:
    from huggingface_hub import HfApi

    return HfApi().dataset_info(name, timeout=20)


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
