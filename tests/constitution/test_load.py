"""Files that load: what they mean, how they extend one another, and that nothing else than UsageError ever comes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from rlaif.constitution import Constitution, Example, Principle
from rlaif.constitution.load import SCHEMA, load_constitution
from rlaif.errors import UsageError

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "constitutions").glob("*.yaml"))
Problems = Callable[..., list[str]]

FULL = """\
name: full
version: 2
description: All keys.
aggregate: worst
principles:
  - id: kind
    text: &text The response is kind.
    weight: 0.5
    gate: 1
    when: {tags: [a, 1], lang: en}
    compare: c
    score: s
    critique: q
    revise: r
    examples:
      - {prompt: p, better: b, worse: w}
      - prompt: [{role: user, content: u}, {role: assistant, content: v}, {role: user, content: x}]
        better: b
        worse: w
  - {id: plain, text: *text}
"""


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / f"{next(iter(files))}.yaml"


def test_every_key(tmp_path: Path) -> None:
    path = write(tmp_path, c=FULL)
    turns = tuple({"role": role, "content": text} for role, text in (("user", "u"), ("assistant", "v"), ("user", "x")))
    assert load_constitution(path) == Constitution(
        name="full",
        version=2,
        description="All keys.",
        aggregate="worst",
        principles=(
            Principle(
                id="kind",
                text="The response is kind.",
                weight=0.5,
                gate=1.0,
                when={"tags": ("a", 1), "lang": ("en",)},
                wordings={"compare": "c", "score": "s", "critique": "q", "revise": "r"},
                examples=(Example(({"role": "user", "content": "p"},), "b", "w"), Example(turns, "b", "w")),
            ),
            Principle(id="plain", text="The response is kind."),
        ),
    )
    assert load_constitution(path).sources == (path,)


def test_resolved_is_a_constitution_of_the_same_meaning(tmp_path: Path) -> None:
    constitution = load_constitution(write(tmp_path, c=FULL))
    again = write(tmp_path, again=json.dumps(constitution.resolved()))  # JSON is YAML
    assert load_constitution(again) == constitution
    assert load_constitution(again).digest == constitution.digest


def test_digest_is_about_meaning_not_layout(tmp_path: Path) -> None:
    one = load_constitution(write(tmp_path, a="name: x\nversion: 1\nprinciples: [{id: a, text: t}]\n"))
    two = load_constitution(
        write(tmp_path, b="# why\nversion: 9\nname: y\naggregate: weighted\nprinciples:\n- text: t\n  id: a\n  weight: 1\n")
    )
    assert one.digest == two.digest


def test_a_bom_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\xef\xbb\xbfname: x\nversion: 1\nprinciples: [{id: a, text: t}]\n")
    assert load_constitution(tmp_path / "c.yaml").name == "x"


BASE = """\
name: base
version: 3
description: The base.
aggregate: worst
principles:
  - {id: a, text: base a, weight: 2, gate: 0.9, compare: base a compare, when: {t: [x]}}
  - {id: b, text: base b}
"""


def test_extends_overrides_in_place_and_inherits(tmp_path: Path) -> None:
    child = "name: child\nversion: 1\nextends: base.yaml\nprinciples:\n"
    child += "  - {id: c, text: child c}\n  - {id: a, weight: 5, gate: null, when: null}\n"
    path = write(tmp_path, child=child, base=BASE)
    constitution = load_constitution(path)
    assert (constitution.name, constitution.version) == ("child", 1)
    assert (constitution.description, constitution.aggregate) == ("The base.", "worst")
    assert constitution.principles == (
        Principle("a", "base a", weight=5.0, wordings={"compare": "base a compare"}),
        Principle("b", "base b"),
        Principle("c", "child c"),
    )
    assert constitution.sources == (path, tmp_path / "base.yaml")


def test_extends_chains_and_is_relative_to_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep", base=BASE)
    write(tmp_path, middle="name: m\nversion: 1\nextends: deep/base.yaml\naggregate: sampled\n")
    (tmp_path / "top").mkdir()
    top = write(tmp_path / "top", top="name: t\nversion: 1\nextends: ../middle.yaml\nprinciples: [{id: b, text: top b}]\n")
    constitution = load_constitution(top)
    assert [principle.text for principle in constitution.principles] == ["base a", "top b"]
    assert constitution.aggregate == "sampled"
    assert len(constitution.sources) == 3


EXTENDS = "name: x\nversion: 1\nextends: base.yaml\n"


@pytest.mark.parametrize(
    ("child", "base", "expected"),
    [
        (
            EXTENDS.replace("base", "bsae"),
            BASE,
            ["c.yaml:3:10: extends: found 'bsae.yaml'; no such file; did you mean base.yaml?"],
        ),
        (
            EXTENDS.replace("base.yaml", '"a\\0b"'),
            BASE,
            ["c.yaml:3:10: extends: found 'a\\x00b'; cannot be read: embedded null byte"],
        ),
        (
            EXTENDS + "principles: [{id: aa, weight: 1}, {id: bb, text: t}]\n",
            BASE.replace("id: a,", "id: aaa,"),
            ["c.yaml:4:14: principles[aa].text: missing; no principle of base.yaml has this id; did you mean aaa?"],
        ),
        (
            EXTENDS + "principles: [{id: a, gate: 3}]\n",
            BASE.replace("weight: 2", "wait: 2"),
            [
                "c.yaml:4:28: principles[a].gate: found 3; allowed: a number above 0.5 and at most 1, or null",
                "base.yaml:6:27: principles[a].wait: unknown key; allowed: id, text, weight, gate, when, compare, score, "
                "critique, revise, examples; did you mean weight?",
            ],
        ),
        (EXTENDS, "name: [", ["base.yaml:1:8: not valid YAML: while parsing a flow node"]),
        (
            EXTENDS + "version: 2\n",
            "- 1",
            ["c.yaml:4:1: version: set twice; the first is on line 2; keep one", "base.yaml:1:1: found a list"],
        ),
        (
            EXTENDS + "principles: [{id: a, weight: 0}, {id: b, weight: 0}]\n",
            BASE,
            ["c.yaml:4:1: principles: every weight is 0; allowed: at least one above 0"],
        ),
        (EXTENDS, EXTENDS.replace("base", "c"), ["base.yaml:3:10: extends: is a cycle: c.yaml -> base.yaml -> c.yaml"]),
        (EXTENDS.replace("base", "c"), BASE, ["c.yaml:3:10: extends: is a cycle: c.yaml -> c.yaml"]),
        (EXTENDS.replace("base.yaml", "."), BASE, ["c.yaml:3:10: extends: found '.'; a folder; allowed: a YAML file"]),
    ],
)
def test_extends_problems_name_the_right_file(problems: Problems, child: str, base: str, expected: list[str]) -> None:
    lines = problems(child, base=base)
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start)


def test_the_schema_is_a_schema_and_describes_every_key() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    for part in (schema, *schema["definitions"].values()):
        assert part["description"]
        assert all(key["description"] for key in part["properties"].values())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped(path: Path) -> None:
    constitution = load_constitution(path)
    assert constitution.description
    raw = YAML(typ="safe", pure=True).load(path)
    assert {principle["id"] for principle in raw["principles"]} <= {principle.id for principle in constitution.principles}
    assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=../rlaif/constitution/schema.json\n")
    assert (path.parent / "../rlaif/constitution/schema.json").is_file()
    for principle in constitution.principles:
        for example in principle.examples:
            assert example.prompt[-1]["role"] == "user"
            assert all(turn["content"].strip() for turn in example.prompt)
            assert example.better.strip() != example.worse.strip()


def test_shipped_are_found() -> None:
    assert {"helpful-honest-harmless.yaml", "summarization.yaml", "concise.yaml"} <= {path.name for path in SHIPPED}


SEEDS = [FULL, BASE, *(path.read_text(encoding="utf-8")[:1500] for path in SHIPPED)]
# fmt: off
SNIPPETS = st.sampled_from([
    ":", "- ", "[", "]", "{", "}", "&a ", "*a", "*text", "!!", "!!int ", "!!binary ", "!<x>", "---", "...", "? ", "|", ">-",
    "'", '"', '"\\', '"\\ud800"', '"\\0"', "<<: ", ".nan", "-.inf", "1e999", "9" * 5000, "0x", "0o9", "null", "true", "#", ",",
    "2024-01-01", "\n", "  ", "\t", "\0", "\x1b", "\ud800", "\U0001f600", "\u2028", "\x85", "%YAML 1.1\n---\n", "id:",
    "principles:", "principles: 3\n", "extends: c.yaml\n", "extends: [x]\n",
])
# fmt: on


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        text = text[:start] + draw(SNIPPETS | st.text(max_size=8)) + text[start + draw(st.integers(0, 12)) :]
    return text.encode("utf-8", "surrogatepass")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=mutated() | st.binary(max_size=60))
def test_whatever_the_file_holds_it_loads_or_is_a_usage_error(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "c.yaml"
        path.write_bytes(content)
        try:
            constitution = load_constitution(path)
        except UsageError as error:
            assert all(f"{path}:" in line or f"{folder}/" in line for line in str(error).splitlines())
        else:
            assert len(constitution.digest) == 16
