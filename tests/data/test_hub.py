from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest
from huggingface_hub.hf_api import DatasetInfo

from rlaif.data.read import count_rows, read_rows
from rlaif.data.rows import Row
from rlaif.errors import UsageError

COLUMNS = {"prompt": ["q1", "q2"], "chosen": ["a", "b"], "rejected": ["c", "d"]}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """A hub that holds one dataset of two splits; what was asked of it."""
    asked: list[tuple[Any, ...]] = []

    def load(name: str, config: str | None, streaming: bool, revision: str) -> Any:
        asked.append((name, config, streaming, revision))
        held = datasets.Dataset.from_dict(COLUMNS)
        return datasets.IterableDatasetDict({"train": held.to_iterable_dataset(), "test": held.take(1).to_iterable_dataset()})

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: DatasetInfo(id="owner/name", sha="abc"))
    return asked


@pytest.mark.parametrize(
    ("source", "asked", "rows"),
    [
        ("owner/name", ("owner/name", None, True, "abc"), 2),
        ("owner/name:test", ("owner/name", None, True, "abc"), 1),
        ("owner/name/config:train", ("owner/name", "config", True, "abc"), 2),
        ("hf://datasets/owner/name:test", ("owner/name", None, True, "abc"), 1),
        ("name", ("name", None, True, "abc"), 2),
    ],
)
def test_a_name_is_streamed(hub: list[tuple[Any, ...]], source: str, asked: tuple[Any, ...], rows: int) -> None:
    read = list(read_rows(source))
    assert hub == [asked]
    assert len(read) == rows and all(isinstance(row, Row) for row in read)
    assert count_rows(source) is None


def test_an_unknown_split_names_the_known(hub: list[tuple[Any, ...]]) -> None:
    with pytest.raises(UsageError, match=r"no split 'dev'; the dataset has train, test"):
        read_rows("owner/name:dev")


def test_an_unknown_name_is_one_message() -> None:
    with pytest.raises(UsageError, match=r"owner/name: no such file or folder, and no dataset of that name"):
        read_rows("owner/name")


def test_a_saved_dataset(tmp_path: Path) -> None:
    held = datasets.Dataset.from_dict(COLUMNS)
    held.save_to_disk(tmp_path / "one")
    assert [row.number for row in read_rows(str(tmp_path / "one"))] == [1, 2]
    assert count_rows(str(tmp_path / "one")) == 2
    datasets.DatasetDict({"train": held}).save_to_disk(tmp_path / "many")
    with pytest.raises(UsageError, match=r"several splits; name one of its folders: .*many.train"):
        read_rows(str(tmp_path / "many"))
