"""What ships for users to read, name and edit: constitutions and the critic's prompt templates."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rlaif.errors import UsageError

_PACKAGE = Path(__file__).parent
_SCHEMA_LINE = "$schema=../rlaif/constitution/schema.json"
_CONFIG = """\
# rlaif label ROWS --config config.yaml runs this; a flag given beside it wins. Paths are relative to this file.
# Every setting has the name of its flag: rlaif label --help.
constitution: constitutions/helpful-honest-harmless.yaml
prompts: prompts
critic: lab                       # a model's path or hub id, http://… base URLs, or script:FILE; a list is a jury
out: runs/first
"""


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


def copy_shipped(folder: Path) -> list[Path]:
    """Write what users edit into ``folder``: ``constitutions/``, ``prompts/`` and a ``config.yaml``; returns what was written.

    Raises UsageError, and writes nothing, where one of the files is there already, or where the folder cannot be written.
    """
    schema = _PACKAGE / "constitution" / "schema.json"
    texts = {Path("constitutions") / schema.name: schema.read_text(encoding="utf-8")}
    for kind in ("constitutions", "prompts"):
        for path in sorted(shipped_folder(kind).glob("*.yaml")):
            text = path.read_text(encoding="utf-8").replace(_SCHEMA_LINE, f"$schema={schema.name}")
            texts[Path(kind) / path.name] = text
    texts[Path("config.yaml")] = _CONFIG
    if there := [name for name in texts if (folder / name).exists()]:
        raise UsageError(f"{folder / there[0]}: is there already, so nothing was written; give another folder, or move it away")
    try:
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror}; give another folder") from None
    return [folder / name for name in texts]
