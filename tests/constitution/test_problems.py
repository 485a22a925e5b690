"""Every kind of mistake is told at its place, with what was found and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rlaif.constitution.load import load_constitution
from rlaif.constitution.read import MAX_BYTES
from rlaif.errors import UsageError

Problems = Callable[..., list[str]]
HEAD = "name: x\nversion: 1\nprinciples:\n"  # three lines, so that principles begin on line 4

ONE = [
    ("name: x\nversion: 1\n", "c.yaml:1:1: principles: missing; this key is required"),
    ("version: 1\nprinciples: [{id: a, text: t}]\n", "c.yaml:1:1: name: missing; this key is required"),
    ("name: 3\nversion: 1\nprinciples: [{id: a, text: t}]\n", "c.yaml:1:7: name: found 3; allowed: a text that is not blank"),
    (HEAD + "  - id: a\n", "c.yaml:4:5: principles[a].text: missing; this key is required"),
    (HEAD + "  - text: t\n", "c.yaml:4:5: principles[#1].id: missing; this key is required"),
    (HEAD + "  - {id: a, text: '  '}\n", "c.yaml:4:19: principles[a].text: found '  '; allowed: a text that is not blank"),
    (HEAD + "  - {id: a, text: }\n", "c.yaml:4:13: principles[a].text: found nothing; allowed: a text that is not blank"),
    (HEAD + "  - 5\n", "c.yaml:4:5: principles[#1]: found 5; allowed: a mapping"),
    (
        "name: x\nversion: 1\nprinciples: []\n",
        "c.yaml:3:13: principles: found an empty list; allowed: a list that is not empty",
    ),
    (
        "name: x\nversion: 1\nprinciples: {}\n",
        "c.yaml:3:13: principles: found an empty mapping; allowed: a list that is not empty",
    ),
    (
        HEAD + "  - {id: a, text: t, weight: -1}\n",
        "c.yaml:4:30: principles[a].weight: found -1; allowed: a number at least 0 and at most 1000000",
    ),
    (
        HEAD + "  - {id: a, text: t, weight: true}\n",
        "c.yaml:4:30: principles[a].weight: found true; allowed: a number at least 0 and at most 1000000",
    ),
    (
        HEAD + "  - {id: a, text: t, weight: .nan}\n",
        "c.yaml:4:30: principles[a].weight: found '.nan'; allowed: a finite number",
    ),
    (
        HEAD + "  - {id: a, text: t, weight: -.inf}\n",
        "c.yaml:4:30: principles[a].weight: found '-.inf'; allowed: a finite number",
    ),
    (HEAD + "  - {id: a, text: t, weight: 0}\n", "c.yaml:3:1: principles: every weight is 0; allowed: at least one above 0"),
    (
        HEAD + "  - {id: a, text: t, gate: 0.5}\n",
        "c.yaml:4:28: principles[a].gate: found 0.5; allowed: a number above 0.5 and at most 1, or null",
    ),
    (
        HEAD + "  - {id: a, text: t, gate: 1.01}\n",
        "c.yaml:4:28: principles[a].gate: found 1.01; allowed: a number above 0.5 and at most 1, or null",
    ),
    (
        HEAD + "  - {id: a, text: t, when: [risky]}\n",
        "c.yaml:4:28: principles[a].when: found a list; allowed: a mapping that is not empty, or null",
    ),
    (
        HEAD + "  - {id: a, text: t, when: {tags: []}}\n",
        "c.yaml:4:35: principles[a].when.tags: found an empty list; allowed: a list that is not empty",
    ),
    (
        HEAD + "  - {id: a, text: t, when: {tags: [{b: c}]}}\n",
        "c.yaml:4:36: principles[a].when.tags[#1]: found a mapping; allowed: a text or a number or true or false",
    ),
    (
        HEAD + "  - {id: No_Kebab, text: t}\n",
        "c.yaml:4:10: principles[No_Kebab].id: found 'No_Kebab'; "
        "allowed: a text in kebab-case (small letters, digits and single hyphens)",
    ),
    (
        HEAD + "  - id: a\n    text: t\n    wieght: 2\n",
        "c.yaml:6:5: principles[a].wieght: unknown key; allowed: id, text, weight, gate, when, compare, score, critique, "
        "revise, examples; did you mean weight?",
    ),
    (
        "nmae: x\n" + HEAD + "  - {id: a, text: t}\n",
        "c.yaml:1:1: nmae: unknown key; allowed: name, version, description, extends, aggregate, principles; "
        "did you mean name?",
    ),
    (
        "aggregate: weigthed\n" + HEAD + "  - {id: a, text: t}\n",
        "c.yaml:1:12: aggregate: found 'weigthed'; allowed: weighted, sampled, worst; did you mean weighted?",
    ),
    (HEAD + "  - {id: a, text: t, id: b}\n", "c.yaml:4:22: principles[a].id: set twice; the first is on line 4; keep one"),
    (
        HEAD + "  - {id: a, text: t}\n  - {id: b, text: t}\n  - {id: a, text: u}\n",
        "c.yaml:6:10: principles[a].id: found 'a' again; the first is on line 4; ids are unique",
    ),
    (
        HEAD + "  - {id: a, text: t, ? [1] : 2}\n",
        "c.yaml:4:24: principles[a]: found a key that is not a text; allowed: plain names",
    ),
    (
        HEAD + "  - {id: a, text: !!python/object:os.system x}\n",
        "c.yaml:4:19: principles[a].text: found the tag 'python/object:os.system'; allowed: plain YAML without tags",
    ),
    (
        HEAD + '  - {id: a, text: "\\ud800"}\n',
        "c.yaml:4:19: principles[a].text: found half of a surrogate pair; allowed: characters that UTF-8 can hold",
    ),
    (
        HEAD + "  - {id: a, text: t, examples: [{prompt: p, better: b}]}\n",
        "c.yaml:4:33: principles[a].examples[#1].worse: missing; this key is required",
    ),
    (
        HEAD + "  - {id: a, text: t, examples: [{prompt: p, better: b, worse: b}]}\n",
        "c.yaml:4:63: principles[a].examples[#1].worse: found the same text as better; allowed: a worse response",
    ),
    (
        HEAD + "  - {id: a, text: t, examples: [{prompt: 3, better: b, worse: w}]}\n",
        "c.yaml:4:42: principles[a].examples[#1].prompt: found 3; "
        "allowed: a text that is not blank, or a list that is not empty",
    ),
    (
        HEAD + "  - {id: a, text: t, examples: [{prompt: [{role: usr, content: c}], better: b, worse: w}]}\n",
        "c.yaml:4:50: principles[a].examples[#1].prompt[#1].role: found 'usr'; "
        "allowed: system, user, assistant, tool; did you mean user?",
    ),
    ("- a\n- b\n", "c.yaml:1:1: found a list; allowed: a mapping"),
]

BROKEN = [
    (b"", "c.yaml:1:1: empty; a constitution has at least name, version and principles"),
    (b"# only a comment\n", "c.yaml:1:1: empty; a constitution has at least name, version and principles"),
    (b"name: x\nversion: \xff\n", "c.yaml:2:10: not UTF-8: byte 0xff; save it as UTF-8"),
    (b"name: x\nversion: a: b\n", "c.yaml:2:11: not valid YAML: mapping values are not allowed here"),
    (b"name: x\n\tversion: 1\n", "c.yaml:2:1: not valid YAML: "),
    (b"name: x\0\n", "c.yaml:1:8: not valid YAML: "),
    (
        b"name: x\n--- \nname: y\n",
        "c.yaml:2:1: not valid YAML: expected a single document in the stream, but found another document",
    ),
    (b'name: "\\UFFFFFFFF"\n', "c.yaml:1:1: not valid YAML: "),
    (b"[" * 20_000, "c.yaml:1:1: nested too deeply"),
    (b"x" * (MAX_BYTES + 1), "c.yaml:1:1: larger than 500,000 bytes"),
]


@pytest.mark.parametrize(("content", "expected"), ONE)
def test_one_problem(problems: Problems, content: str, expected: str) -> None:
    assert problems(content) == [expected]


@pytest.mark.parametrize(("content", "expected"), BROKEN)
def test_not_yaml(problems: Problems, content: bytes, expected: str) -> None:
    (line,) = problems(content)
    assert line.startswith(expected)


def test_all_problems_at_once_in_order_of_position(problems: Problems) -> None:
    lines = problems("verison: 1\naggregate: best\nprinciples:\n  - {id: A, gate: 2}\n  - {id: b, text: t, wait: 1}\n")
    assert [line.split(": ")[:2] for line in lines] == [
        ["c.yaml:1:1", "name"],
        ["c.yaml:1:1", "verison"],
        ["c.yaml:1:1", "version"],
        ["c.yaml:2:12", "aggregate"],
        ["c.yaml:4:5", "principles[A].text"],
        ["c.yaml:4:10", "principles[A].id"],
        ["c.yaml:4:19", "principles[A].gate"],
        ["c.yaml:5:22", "principles[b].wait"],
    ]


def test_a_message_stays_on_one_line_whatever_the_key_holds(problems: Problems) -> None:
    lines = problems(HEAD + '  - {id: a, text: t, "x\\ny\\e[31m": 1}\n')
    assert len(lines) == 1
    assert lines[0].isprintable()


def test_aliases_cannot_grow_a_small_file(problems: Problems) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (line,) = problems("\n".join(levels))
    assert line.endswith("its aliases make this file too large")


def test_a_value_that_holds_itself(problems: Problems) -> None:
    lines = problems(HEAD + "  - &a {id: a, text: t, when: *a}\n")
    assert "nested too deeply" in "\n".join(lines)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    (tmp_path / "helpful.yaml").write_text("name: x\n")
    with pytest.raises(UsageError, match=r"helpfull\.yaml: no such file; did you mean helpful\.yaml\?"):
        load_constitution(tmp_path / "helpfull.yaml")
    with pytest.raises(UsageError, match="a folder; allowed: a YAML file"):
        load_constitution(tmp_path)
