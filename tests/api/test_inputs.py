import json
from pathlib import Path

import pytest

from rlaif.api.inputs import constitution_of, source_of
from rlaif.constitution.types import Constitution

ROWS = [{"prompt": "hi", "n": float("nan"), 3: ("a", b"b")}]


def test_the_same_rows_are_the_same_file(tmp_path):
    first = source_of(ROWS, tmp_path / "new", "run")
    assert source_of(list(ROWS), tmp_path / "new", "run") == first
    assert source_of(ROWS * 2, tmp_path / "new", "run") != first
    assert len(list((tmp_path / "new").iterdir())) == 2
    assert json.loads(Path(first).read_text()) == {"prompt": "hi", "n": None, "3": ["a", "b"]}


@pytest.mark.parametrize("named", ["rows.jsonl", Path("a/b.csv"), "owner/name:split"])
def test_what_is_named_is_not_touched(named, tmp_path):
    assert source_of(named, tmp_path, "run") == str(named)
    assert constitution_of(named, tmp_path, "run") == str(named)
    assert list(tmp_path.iterdir()) == []


def test_a_constitution_of_no_file_is_written_where_it_loads(tmp_path):
    loaded = Constitution.load("helpful-honest-harmless")
    assert constitution_of(loaded, tmp_path, "run") == str(loaded.sources[0])
    made = Constitution("made", 3, loaded.principles[:2], "For tests.", "worst")
    path = constitution_of(made, tmp_path / "new", "run")
    assert Constitution.load(path) == made
    assert constitution_of(made, tmp_path / "new", "run") == path
