import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from rlaif.cli.report import report
from rlaif.errors import UsageError
from tests.reference.fake_run import preferences, write_run

app = typer.Typer()
app.command()(report)


def test_the_page_is_written_and_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", preferences(5))
    result = CliRunner().invoke(app, [str(folder)])
    assert result.exit_code == 0
    assert result.stdout.strip() == str(folder / "report.html")
    assert (folder / "report.html").stat().st_size > 10_000


def test_out_names_another_place(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", preferences(5))
    CliRunner().invoke(app, [str(folder), "--out", str(tmp_path / "deep" / "page.html")])
    assert (tmp_path / "deep" / "page.html").is_file()
    assert not (folder / "report.html").exists()


def test_a_folder_without_a_run_is_a_usage_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(tmp_path)])
    with pytest.raises(UsageError, match="not a run folder"):
        raise result.exception or AssertionError(result.output)


def test_the_command_imports_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "matplotlib", "datasets", "pandas", "jinja2")
    script = f"import sys, rlaif.cli.report; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
