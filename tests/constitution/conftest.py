"""Constitutions written for one test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rlaif.constitution.load import load_constitution
from rlaif.errors import UsageError


@pytest.fixture
def problems(tmp_path: Path) -> Callable[..., list[str]]:
    """The problems of a file, one per line, its folder left off; other files by name lie beside it."""

    def run(content: str | bytes, **others: str) -> list[str]:
        for name, text in others.items():
            (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        path = tmp_path / "c.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(UsageError) as caught:
            load_constitution(path)
        return str(caught.value).replace(f"{tmp_path}/", "").splitlines()

    return run
