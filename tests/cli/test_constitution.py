"""``rlaif constitution`` from the outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rlaif.cli.constitution import app
from rlaif.errors import UsageError

ROOT = Path(__file__).parents[2]
HHH = ROOT / "constitutions/helpful-honest-harmless.yaml"
GOOD = """\
name: x
version: 1
principles:
  - {id: kind, text: It is kind., score: How kind it is.}
  - {id: rare, text: It is rare., when: {tags: [a]}}
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    return path


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_check_prints_a_line_per_file(good: Path) -> None:
    assert run("check", HHH, good).splitlines() == [
        f"{HHH}: ok (7 principles, aggregate weighted)",
        f"{good}: ok (2 principles, aggregate weighted)",
    ]


def test_check_goes_on_after_a_bad_file(good: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: x\nversion: 0\nprincples: []\n")
    result = CliRunner().invoke(app, ["check", str(bad), str(tmp_path / "none.yaml"), str(good)])
    assert result.exit_code == 2
    assert result.stdout == f"{good}: ok (2 principles, aggregate weighted)\n"
    assert result.stderr.splitlines() == [
        f"{bad}:1:1: principles: missing; this key is required",
        f"{bad}:2:10: version: found 0; allowed: a whole number at least 1",
        f"{bad}:3:1: princples: unknown key; allowed: name, version, description, extends, aggregate, principles; "
        "did you mean principles?",
        f"{tmp_path}/none.yaml: no such file",
    ]


def test_check_imports_nothing_heavy() -> None:
    heavy = {"torch", "transformers", "datasets", "pandas", "pyarrow", "numpy", "vllm"}
    code = (
        "import sys\nfrom rlaif.cli.constitution import app\n"
        f"try: app(['check', {str(HHH)!r}])\n"
        f"finally: print(sorted({heavy!r} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_show_marks_what_is_not_trusted(good: Path) -> None:
    shown = run("show", good)
    assert "⟦How do I unclog a kitchen sink?⟧" in shown
    assert "Principle: It is kind.\n" in shown
    assert "rare (weight 1, not asked of this row (when))\nPrinciple: It is rare.\n" in shown
    assert shown.count("</response_b>") == 1  # the row's own is defused


def test_show_uses_the_wording_of_the_mode(good: Path) -> None:
    shown = run("show", good, "--mode", "score", "--principle", "kind")
    assert "\nHow kind it is.\n" in shown
    assert "It is rare." not in shown


def test_show_takes_a_row_and_spells_out_its_control_characters(good: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": "Q?", "responses": ["one\x1b[31m", "[bold]two"], "tags": ["a"]}) + "\n")
    shown = run("show", good, "--row", rows)
    assert "⟦one\\x1b[31m⟧" in shown
    assert "⟦[bold]two⟧" in shown
    assert "rare (weight 1)" in shown


def test_show_says_when_a_row_is_too_short(good: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": "Q?", "responses": ["one"]}) + "\n")
    with pytest.raises(UsageError, match="row 1 has 1 responses; this mode shows 2"):
        run("show", good, "--row", rows)
    assert "⟦one⟧" in run("show", good, "--row", rows, "--mode", "score")


def test_show_names_the_nearest_principle(good: Path) -> None:
    with pytest.raises(UsageError, match=r"no principle knid; there are: kind, rare; did you mean kind\?"):
        run("show", good, "--principle", "knid")


def test_import_then_check(tmp_path: Path) -> None:
    source = tmp_path / "swarm.json"
    source.write_text(json.dumps({"constitutions": [{"critic": "Unkind?", "revision": "Be kind."}], "system_chat": []}))
    out = tmp_path / "out.yaml"
    assert run("import", source, "--out", out, "--name", "mine").splitlines() == [
        f"{out}: 1 principle, from the format llm-swarm",
        "left out: system_chat",
    ]
    assert run("check", out) == f"{out}: ok (1 principle, aggregate sampled)\n"
    with pytest.raises(UsageError, match="exists; --overwrite"):
        run("import", source, "--out", out)
    run("import", source, "--out", out, "--overwrite")


EXAMPLES = """\
name: x
version: 1
principles:
  - id: kind
    text: It is kind.
    examples:
      - {prompt: p, better: good, worse: bad}
      - {prompt: q, better: fine, worse: bad}
"""
GOOD_WINS = """\
rules:
  - {when: "(?s)<response_a>.{0,2}good", choose: {A: 0.8, B: 0.2}}
  - {when: "(?s)<response_b>.{0,2}good", choose: {A: 0.4, B: 0.6}}
  - {when: "(?s)<response_a>.{0,2}bad", choose: {A: 0.9, B: 0.1}}
  - {choose: {A: 0.1, B: 0.9}}
"""


def test_test_names_every_wrong_verdict_and_exits_1(tmp_path: Path, rlaif) -> None:
    (tmp_path / "c.yaml").write_text(EXAMPLES)
    (tmp_path / "s.yaml").write_text(GOOD_WINS)
    code, out, _ = rlaif("constitution", "test", "c.yaml", "--critic", "script:s.yaml")
    assert code == 1
    assert out.splitlines() == [
        "kind#2: wrong, the worse response wins by 0.80",
        "c.yaml: 1 of 2 examples right, 0 without a verdict",
    ]
    (tmp_path / "s.yaml").write_text("rules:\n  - {when: fine, fail: refused}\n" + GOOD_WINS.removeprefix("rules:\n"))
    code, out, _ = rlaif("constitution", "test", "c.yaml", "--critic", "script:s.yaml")
    assert code == 1 and "kind#2: no verdict (refused)" in out and "1 of 1 examples right, 1 without" in out
    (tmp_path / "s.yaml").write_text(
        GOOD_WINS.replace("{A: 0.9, B: 0.1}", "{A: 0.5, B: 0.5}").replace("{A: 0.1, B: 0.9}", "{A: 0.5, B: 0.5}")
    )
    assert "kind#2: wrong, neither response wins" in rlaif("constitution", "test", "c.yaml", "--critic", "script:s.yaml")[1]


def test_test_without_examples_is_a_usage_error(tmp_path: Path, good: Path, rlaif) -> None:
    (tmp_path / "s.yaml").write_text(GOOD_WINS)
    code, _, err = rlaif("constitution", "test", str(good), "--critic", "script:s.yaml")
    assert code == 2 and "no principle has examples" in err


def test_diff_tells_changes_and_what_they_cost(tmp_path: Path, rlaif) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(GOOD.replace("It is kind.", "It is nice.").replace("version: 1", "version: 2"))
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.9, B: 0.1}}]")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "hi", "responses": ["a", "b"]}\n')
    rlaif("label", "rows.jsonl", "--constitution", "a.yaml", "--critic", "script:s.yaml", "--out", "run", "--orders", "ab")
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.2, B: 0.8}}]")
    rlaif("label", "rows.jsonl", "--constitution", "b.yaml", "--critic", "script:s.yaml", "--out", "run2", "--orders", "ab")
    code, out, _ = rlaif("constitution", "diff", "a.yaml", "b.yaml", "--run", "run", "--runs", "run", "run2")
    assert code == 0
    assert out.splitlines() == [
        "kind: text: It is kind. -> It is nice. (asked again in compare, rank, critique, revise)",
        "run: 1 of 1 verdicts to ask again (kind 1), in 1 calls",
        "1 of 1 preferences changed sides",
        "  kind: 1 verdicts",
        "  1:0-1: 0.90 -> 0.20  hi",
    ]
    assert rlaif("constitution", "diff", "a.yaml", "a.yaml")[1] == "no difference that could change a preference\n"


FIT = """\
name: x
version: 1
principles:
  - {id: kind, text: It is kind.}   # kept
  - {id: rare, text: It is rare.}
"""


def fitting(tmp_path: Path, rlaif, of: str) -> None:
    """Label rows in which one principle is right about the known preference and the other is noise."""
    import random

    draw = random.Random(0)
    rows = []
    for number in range(120):
        texts = [f"{draw.choice('kx')}{draw.choice('rx')}{number}{side}" for side in "ab"]
        better = max((0, 1), key=lambda at: (texts[at][of == "rare"] != "x", draw.random()))
        rows.append({"prompt": "q", "chosen": texts[better], "rejected": texts[1 - better]})
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rules = [
        f"  - {{when: '(?s)<response_{side}>.{{0,2}}{mark}.*It is {word}', choose: {{{label}: 0.8, {other}: 0.2}}}}"
        for word, mark in (("kind", "k"), ("rare", ".r"))
        for side, label, other in (("a", "A", "B"), ("b", "B", "A"))
    ]
    (tmp_path / "s.yaml").write_text("rules:\n" + "\n".join(rules) + "\n  - {choose: {A: 0.5, B: 0.5}}\n")
    (tmp_path / "c.yaml").write_text(FIT)
    rlaif("label", "rows.jsonl", "--constitution", "c.yaml", "--critic", "script:s.yaml", "--out", "run")


@pytest.mark.parametrize("of", ["kind", "rare"])
def test_fit_writes_weights_that_agree_more(tmp_path: Path, rlaif, of: str) -> None:
    from rlaif.constitution.load import load_constitution

    fitting(tmp_path, rlaif, of)
    code, out, err = rlaif("constitution", "fit", "c.yaml", "--run", "run", "--dry-run")
    assert code == 0 and (tmp_path / "c.yaml").read_text() == FIT, err
    code, out, _ = rlaif("constitution", "fit", "c.yaml", "--run", "run")
    assert code == 0 and "equal weights" in out and "written to c.yaml" in out
    weights = {principle.id: principle.weight for principle in load_constitution(tmp_path / "c.yaml").principles}
    assert weights[of] > 3 * weights["rare" if of == "kind" else "kind"]
    assert (tmp_path / "c.yaml").read_text().count("# kept") == 1


def test_fit_needs_labels_and_weights_that_matter(tmp_path: Path, rlaif) -> None:
    fitting(tmp_path, rlaif, "kind")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "hi", "responses": ["a", "b"]}\n')
    rlaif("label", "rows.jsonl", "--constitution", "c.yaml", "--critic", "script:s.yaml", "--out", "run", "--overwrite")
    code, _, err = rlaif("constitution", "fit", "c.yaml", "--run", "run")
    assert code == 2 and "0 labelled rows are too few" in err
    (tmp_path / "c.yaml").write_text("aggregate: worst\n" + FIT)
    code, _, err = rlaif("constitution", "fit", "c.yaml", "--run", "run")
    assert code == 2 and "weights play no part" in err
