"""Published files of principles: files of the same shape, in our own words, become constitutions that load."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.constitution.importers import import_file
from rlaif.constitution.load import load_constitution
from rlaif.constitution.write import write
from rlaif.errors import UsageError

CRITIQUES = {
    "unkind0": {
        "prompt": ["\n\nCritiqueRequest: Say where the assistant's answer is unkind.\n\nCritique:"],
        "edit_request": "\n\nRevisionRequest: Please rewrite the answer without anything unkind.\n\nRevision:",
    },
    "Long_Winded": {
        "prompt": ["\n\nCritiqueRequest: What is too long?\n\nCritique:", "\n\nCritiqueRequest: What could go?\n\nCritique:"],
        "edit_request": "\n\nRevisionRequest: Shorten it: keep the answer.\n\nRevision:",
    },
}
COMPARISONS = [
    "\nPlease choose the assistant response that is the most patient and kind. Options:",
    "\nChoose the response that explains its steps. Options:",
    "\nWhich of these responses is more patient and kind? Options:",
]
SWARM = {
    "constitutions": [
        {"critic": "Is the response unkind?", "revision": "Rewrite the response to remove unkind words."},
        {"critic": "Could it be kinder?", "revision": "Rewrite the response to remove unkind words."},
    ],
    "system_chat": [[]],
}


def save(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_critiques(tmp_path: Path) -> None:
    imported = import_file(save(tmp_path, "MyCRInstructions.json", CRITIQUES))
    assert imported.constitution["name"] == "my-cr-instructions"
    assert imported.constitution["principles"][0] == {
        "id": "unkind0",
        "text": "The response already is what this request asks for: Please rewrite the answer without anything unkind.",
        "critique": "Say where the assistant's answer is unkind.",
        "revise": "Please rewrite the answer without anything unkind.",
    }
    assert [principle["id"] for principle in imported.constitution["principles"]] == ["unkind0", "long-winded", "long-winded-2"]


def test_comparisons(tmp_path: Path) -> None:
    principles = import_file(save(tmp_path, "c.json", COMPARISONS)).constitution["principles"]
    assert principles == [
        {
            "id": "patient-kind",
            "text": "The response is the most patient and kind.",
            "compare": "Please choose the assistant response that is the most patient and kind.",
        },
        {
            "id": "explains-steps",
            "text": "The response is one that explains its steps.",
            "compare": "Choose the response that explains its steps.",
        },
        {
            "id": "patient-kind-2",
            "text": "Which of these responses is more patient and kind?",
            "compare": "Which of these responses is more patient and kind?",
        },
    ]


def test_swarm(tmp_path: Path) -> None:
    imported = import_file(save(tmp_path, "s.json", SWARM), name="mine")
    assert imported.left_out == ("system_chat",)
    assert imported.constitution["name"] == "mine"
    assert [p["id"] for p in imported.constitution["principles"]] == ["remove-unkind-words", "remove-unkind-words-2"]
    assert imported.constitution["principles"][1]["critique"] == "Could it be kinder?"


@pytest.mark.parametrize("content", [CRITIQUES, COMPARISONS, SWARM])
def test_round_trip(tmp_path: Path, content: Any) -> None:
    data = import_file(save(tmp_path, "s.json", content)).constitution
    write(tmp_path / "out.yaml", data, "why")
    again = load_constitution(tmp_path / "out.yaml").resolved()
    assert [{key: p[key] for key in p if key != "weight"} for p in again.pop("principles")] == data.pop("principles")
    assert again == data
    assert (tmp_path / "out.yaml").read_text().startswith("# why\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.yaml", "s.json"]


@settings(max_examples=60, deadline=None)
@given(text=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30), min_size=1, max_size=12).map(" ".join))
def test_any_text_survives_the_file(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("w") / "c.yaml"
    text = f"x{text} {' '.join(['word'] * 30)}"
    write(path, {"name": "n", "version": 1, "principles": [{"id": "a", "text": text}]}, "c")
    assert load_constitution(path).principles[0].text == text


def test_an_existing_file_stays(tmp_path: Path) -> None:
    data = import_file(save(tmp_path, "s.json", SWARM)).constitution
    out = save(tmp_path, "out.yaml", "mine")
    with pytest.raises(UsageError, match=r"out\.yaml: exists; --overwrite replaces it"):
        write(out, data, "c")
    assert out.read_text() == "mine"
    write(out, data, "c", overwrite=True)
    assert len(load_constitution(out).principles) == 2


def test_what_would_not_load_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write(tmp_path / "out.yaml", {"name": " ", "version": 1, "principles": [{"id": "a", "text": "t"}]}, "c")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"f\.json:1:2: not valid JSON"),
        ("[" * 200_000, "not readable as JSON"),
        ({}, "none of the formats that can be imported"),
        ([], "llm-swarm"),
        ([1], "CAI comparison"),
        ([{"prompt": "p", "corrects": []}], "CAI critique and revision"),
        (["\n\nHuman: Which response?\n\nAssistant: This."], "none of the formats"),
        ({"a": {"prompt": [3], "edit_request": "e"}}, r"a\.prompt: found int; allowed: a text"),
        ({"a": {"edit_request": "e"}}, r"a\.prompt: found NoneType; allowed: a text"),
        ({"constitutions": ["x"]}, "constitutions entry 1, critic"),
        ({"constitutions": [{"critic": "c", "revision": " "}]}, "entry 1, revision: found a text that is blank"),
        (["Which response is \ud800?"], "entry 1: found a text that is blank or not Unicode"),
    ],
)
def test_other_files(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        import_file(save(tmp_path, "f.json", content))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape("none.json: no such file")):
        import_file(tmp_path / "none.json")
