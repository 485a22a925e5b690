"""What ships for users to read, name and edit: constitutions and the critic's prompt templates."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).parent


def shipped_folder(kind: Literal["constitutions", "prompts"]) -> Path:
    """Beside the package in a checkout, inside it where a wheel was installed."""
    inside = _PACKAGE / kind
    return inside if inside.is_dir() else _PACKAGE.parent / kind


def shipped_constitutions() -> dict[str, Path]:
    """Their files by name, in the order of the names."""
    return {path.stem: path for path in sorted(shipped_folder("constitutions").glob("*.yaml"))}


def constitution_path(named: str | Path, folder: Path = Path()) -> Path:
    """The file of the constitution that ``named`` is: a path seen from ``folder``, else a shipped one's name.

    Where there is neither, the path, so that whoever opens it can say what is missing.
    """
    path = folder / named
    plain = str(named)
    bare = plain.removesuffix(".yaml").removesuffix(".yml")
    shipped = shipped_constitutions() if Path(plain).name == plain else {}
    return shipped[bare] if bare in shipped and not _is_file(path) else path


def _is_file(path: Path) -> bool:
    try:
        return path.exists() and not path.is_dir()  # a pipe counts: whoever opens it says what is wrong with it
    except (OSError, ValueError):  # a text that can be no path
        return True
