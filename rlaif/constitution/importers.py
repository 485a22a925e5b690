"""Principles that others published, as a constitution: the CAI paper's two instruction files and llm-swarm's.

Their entries are instructions to a critic, so each becomes a principle's own wording, and ``text`` is derived from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlaif.errors import UsageError
from rlaif.files import read_text

FORMATS = {
    "CAI critique and revision": 'a mapping of names to {"prompt": [texts], "edit_request": text}, '
    "as in CritiqueRevisionInstructions.json",
    "CAI comparison": "a list of texts that ask to choose a response, as in RLMadisonInstructions.json",
    "llm-swarm": 'a mapping with "constitutions": [{"critic": text, "revision": text}, …]',
}


class Imported(NamedTuple):
    """kind: a key of ``FORMATS``. constitution: plain data that the schema accepts. left_out: what was not taken over."""

    kind: str
    constitution: dict[str, Any]
    left_out: tuple[str, ...]


class _Entry(NamedTuple):
    """hint: what the id is made from. text: the principle as a statement. wordings: by mode."""

    hint: str
    text: str
    wordings: Mapping[str, str]


def import_file(path: Path, name: str | None = None) -> Imported:
    """Read a published file of principles.

    name: the constitution's; made from the file's name where it is None.

    Raises UsageError for a file that cannot be read, is not JSON, or is of none of the known formats, and names these.
    """
    raw = _json(path)
    entries: Iterator[_Entry]
    left_out: tuple[str, ...] = ()
    if isinstance(raw, dict) and raw and all(isinstance(item, dict) and "edit_request" in item for item in raw.values()):
        kind, entries = "CAI critique and revision", _critiques(path, raw)
    elif isinstance(raw, dict) and isinstance(raw.get("constitutions"), list) and raw["constitutions"]:
        kind, entries = "llm-swarm", _swarm(path, raw["constitutions"])
        left_out = tuple(key for key in raw if key != "constitutions")
    elif isinstance(raw, list) and raw and all(isinstance(item, str) and _is_question(item) for item in raw):
        kind, entries = "CAI comparison", _comparisons(path, raw)
    else:
        known = "\n".join(f"  {name}: {shape}" for name, shape in FORMATS.items())
        raise UsageError(f"{path}: none of the formats that can be imported:\n{known}")
    constitution = {
        "name": name or _slug(re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", path.stem)) or "imported",
        "version": 1,
        "description": f"Imported from {path.name} ({kind}).",
        # One principle drawn per sample is how the CAI paper used them.
        "aggregate": "sampled",
        "principles": list(_with_ids(entries)),
    }
    return Imported(kind, constitution, left_out)


def _json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not readable as JSON in UTF-8: {error}") from None


def _critiques(path: Path, raw: Mapping[str, Any]) -> Iterator[_Entry]:
    for name, item in raw.items():
        prompts = item.get("prompt")
        for number, prompt in enumerate(prompts if isinstance(prompts, list) else [prompts], 1):
            critique = _text(path, f"{name}.prompt", prompt)
            revise = _text(path, f"{name}.edit_request", item["edit_request"])
            yield _Entry(
                name if number == 1 else f"{name}-{number}", _unrevised(revise), {"critique": critique, "revise": revise}
            )


def _swarm(path: Path, raw: list[Any]) -> Iterator[_Entry]:
    for number, item in enumerate(raw, 1):
        item = item if isinstance(item, dict) else {}
        critique = _text(path, f"constitutions entry {number}, critic", item.get("critic"))
        revise = _text(path, f"constitutions entry {number}, revision", item.get("revision"))
        yield _Entry(_subject(revise), _unrevised(revise), {"critique": critique, "revise": revise})


def _comparisons(path: Path, raw: list[str]) -> Iterator[_Entry]:
    for number, item in enumerate(raw, 1):
        compare = _text(path, f"entry {number}", item)
        # "Choose the response that is kind." says of a good response that it is kind; other questions stand as they are.
        stated = re.sub(r"^(?:please )?choose the (?:\w+ )?response that(?:'s| is) ", "The response is ", compare, flags=re.I)
        stated = re.sub(r"^(?:please )?choose the (?:\w+ )?response that ", "The response is one that ", stated, flags=re.I)
        yield _Entry(_subject(compare), stated, {"compare": compare})


def _is_question(text: str) -> bool:
    """Tells instructions from the few-shot transcripts that are published beside them as lists of texts too."""
    return re.search(r"\bresponses?\b", text) is not None and re.search(r"^(Human|Assistant):", text, flags=re.M) is None


_SCAFFOLD = re.compile(r"^\s*(?:CritiqueRequest|RevisionRequest|Critique|Revision):|(?:Critique|Revision|Options):\s*$")


def _text(path: Path, where: str, value: Any) -> str:
    """An instruction without the labels that the paper's prompts put around it."""
    if not isinstance(value, str):
        raise UsageError(f"{path}: {where}: found {type(value).__name__}; allowed: a text")
    text = " ".join(_SCAFFOLD.sub("", value).split())
    if not text or any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageError(f"{path}: {where}: found a text that is blank or not Unicode; allowed: a text")
    return text


def _unrevised(request: str) -> str:
    """A revision request as a statement about a response that is already good."""
    return f"The response already is what this request asks for: {request}"


_FILLER = re.compile(
    r"""
    a | all | amend | an | and | answers | any | anything | are | as | assistant | assistant's | attention | based | be |
    best | between | by | choose | close | compare | consider | degree | do | does | each | for | from | give | giving |
    have | however | human | human's | humans | if | in | is | it | it's | its | last | like | make | more | most | new | not |
    of | one | or | other | paying | please | possible | preceding | response | response's | responses | revise | revision
    | rewrite | say | saying | so | some | sounds | such | terms | than | that | that's | the | their | these | this | to
    | version | way | what | whether | which | who | with | without | would | write
    """,
    re.VERBOSE,
)


def _subject(text: str) -> str:
    """The first few words of an instruction that say what it is about."""
    words = [word for word in re.findall(r"[a-z][a-z'-]*", text.lower()) if not _FILLER.fullmatch(word)]
    return " ".join(words[:4]) or "principle"


def _with_ids(entries: Iterator[_Entry]) -> Iterator[dict[str, Any]]:
    taken: set[str] = set()
    for entry in entries:
        base = identity = _slug(entry.hint) or "principle"
        number = 1
        while identity in taken:
            number += 1
            identity = f"{base}-{number}"
        taken.add(identity)
        yield {"id": identity, "text": entry.text, **entry.wordings}


def _slug(text: str) -> str:
    return "-".join(re.findall(r"[a-z0-9]+", text.lower().replace("'", "")))
