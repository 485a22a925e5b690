"""How a page of the report is put together, whatever it shows."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from rlaif.errors import UsageError
from rlaif.report.columns import Block

_HERE = Path(__file__).parent
SCRIPTS = ("dom", "blocks", "texts", "pairs", "list", "pair", "browse", "chart", "samples", "training", "live", "main")
"""The parts of the page's script, in their order."""


def html(template: str, blocks: Sequence[Block], live: bool = False, **values: Any) -> str:
    """The page that a template makes of the values. blocks: its column store."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    code = script()
    return environment.get_template(f"{template}.html.j2").render(
        page=template,
        blocks=blocks,
        live=live,
        script=code,
        script_hash=base64.b64encode(hashlib.sha256(code.encode()).digest()).decode(),
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        **values,
    )


@cache
def script() -> str:
    """The page's script: its parts one after the other, in a scope of their own."""
    parts = "\n".join((_HERE / "js" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    return f'"use strict";\n{{\n{parts}}}\n'


def read_record(folder: Path) -> dict[str, Any]:
    """``run.json``, of whatever kind and in whatever state the run is. Raises UsageError where there is none."""
    try:
        run: Any = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder}: not a run folder (it holds no run.json); rlaif label and rlaif train make one") from None
    except ValueError as error:
        raise UsageError(f"{folder / 'run.json'}: cannot be read: {error}") from None
    if not isinstance(run, dict):
        raise UsageError(f"{folder / 'run.json'}: cannot be read: it holds no object")
    return run
