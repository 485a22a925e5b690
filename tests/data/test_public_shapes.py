"""Two invented rows in each shape of the table in docs/rows.md go through ``label`` and a short training run as they are."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rlaif.data.read import read_rows
from rlaif.data.rows import Row
from rlaif.settings import configure
from rlaif.train.config import configuration
from rlaif.train.methods import find_loss
from rlaif.train.rows import Example, read_examples
from rlaif.train.run import run_train
from tests.templates import TOOLS
from tests.tiny import byte_tokenizer, save_model

SHAPES = Path(__file__).parent / "shapes"
NAMES = sorted(path.stem for path in SHAPES.glob("*.jsonl"))
SINGLE: dict[str, str] = {"messages": "sft", "sharegpt": "sft", "completion-label": "kto", "prompt-response": "sft"}
"""Files with one response for each prompt, and a method that learns from such."""
QUESTIONS = ("How long do I boil an egg?", "Which knot holds a hammock?")
GOOD = ("About eight minutes for a firm yolk.", "A bowline, tied twice around the trunk.")
CONSTITUTION = """
name: kind
version: 1
description: For a test.
principles:
  - id: kind
    text: The response is kind.
"""


def said(turns: Any) -> str:
    return turns if isinstance(turns, str) else " ".join([turn["content"] for turn in turns])


def rows(name: str) -> list[Row]:
    found = list(read_rows(str(SHAPES / f"{name}.jsonl")))
    assert all(isinstance(row, Row) for row in found)
    return [row for row in found if isinstance(row, Row)]


def test_the_table_and_the_files_name_the_same_shapes() -> None:
    table = (Path(__file__).parents[2] / "docs" / "rows.md").read_text(encoding="utf-8")
    table = table.partition("| file | columns |")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if name != "tools"])
def test_prompts_hold_the_question_and_responses_the_answers_alone(name: str) -> None:
    for row, question, good in zip(rows(name), QUESTIONS, GOOD, strict=True):
        texts = [said(response.turns) for response in row.responses]
        asked = [turn["content"] for turn in row.conversation if turn["role"] == "user"]
        assert any(question in text for text in asked)
        assert not any(question in text or "Human:" in text or "Assistant:" in text for text in texts)
        assert name in SINGLE or sum(good in text for text in texts) == 1
        assert not any(good in text or "Assistant:" in text for text in asked)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SINGLE and name != "tools"])
def test_the_known_preference_is_read(name: str) -> None:
    for row, good in zip(rows(name), GOOD, strict=True):
        better = [good in said(response.turns) for response in row.responses]
        tied = name in ("arena", "winner-columns") and row.number == 2
        assert row.preferred == (None if tied else better.index(True))


@pytest.mark.parametrize("name", NAMES)
def test_each_goes_through_train(name: str) -> None:
    source = str(SHAPES / f"{name}.jsonl")
    single = name in SINGLE
    methods: tuple[str, ...] = (SINGLE[name],) if single else ("dpo", "reward", "kto", "sft")
    for method in methods:
        examples = list(read_examples(source, find_loss(method).rows, "soft"))
        assert all(isinstance(example, Example) for example in examples), examples
        assert {example.number for example in examples} == {1, 2}
    if not single and name != "tools":
        for example in read_examples(source, "pairs", "hard"):
            assert isinstance(example, Example)
            better, worse = example.responses if example.p == 1 else example.responses[::-1]
            assert not any(good in said(worse) for good in GOOD)
            assert better != worse


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model whose chat template knows tools."""
    folder = save_model(tmp_path_factory.mktemp("tiny"), max_position_embeddings=2048)
    byte_tokenizer(TOOLS).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("place", "name"), [*enumerate(NAMES)])
def test_each_is_trained_on(place: int, name: str, model: Path, tmp_path: Path) -> None:
    """With one of the methods that take it, in turn."""
    method = SINGLE.get(name) or ("dpo", "reward", "kto", "sft")[place % 4]
    given: dict[str, Any] = {"source": str(SHAPES / f"{name}.jsonl"), "model": str(model), "out": tmp_path / "run"}
    run = run_train(configure(configuration(method), **given, batch_size=2, max_steps=1))
    assert run["status"] == "finished" and run["data"]["used"] and not run["data"]["failed"], run["data"]
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_each_goes_through_label(name: str, rlaif: Any, tmp_path: Path) -> None:
    (tmp_path / "constitution.yaml").write_text(CONSTITUTION)
    mode = "score" if name in SINGLE else "compare"
    labels = '{"7": 0.9}' if mode == "score" else "{A: 0.7, B: 0.2}"
    (tmp_path / "rules.yaml").write_text(f"rules: [{{choose: {labels}}}]")
    code, _, err = rlaif(
        "label", str(SHAPES / f"{name}.jsonl"), "--constitution", "constitution.yaml",
        "--critic", "script:rules.yaml", "--out", "out", "--mode", mode,
    )  # fmt: skip
    assert code == 0, err
    written = (tmp_path / "out" / ("scores.jsonl" if mode == "score" else "preferences.jsonl")).read_text().splitlines()
    assert {json.loads(line)["row"] for line in written} == {1, 2}
    assert not (tmp_path / "out" / "failures.jsonl").read_text()


def test_a_column_of_another_name_goes_through_label(rlaif: Any, tmp_path: Path) -> None:
    (tmp_path / "constitution.yaml").write_text(CONSTITUTION)
    (tmp_path / "rules.yaml").write_text("rules: [{choose: {A: 0.7, B: 0.2}}]")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"ask": "q", "good": "a", "bad": "b"}) + "\n")
    command = ("label", "rows.jsonl", "--constitution", "constitution.yaml", "--critic", "script:rules.yaml", "--out", "out")
    code, _, err = rlaif(*command, "--columns", "prompt=ask,chosen=good,rejected=bad")
    assert code == 0, err
    (line,) = (tmp_path / "out" / "preferences.jsonl").read_text().splitlines()
    assert json.loads(line)["prompt"] == [{"role": "user", "content": "q"}]
    code, _, err = rlaif(*command, "--overwrite", "--columns", "best=good")
    assert code == 2 and "--columns best=" in err
