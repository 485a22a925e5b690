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
    with pytest.raises(UsageError, match="exists; --force"):
        run("import", source, "--out", out)
    run("import", source, "--out", out, "--force")
