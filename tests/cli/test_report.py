import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import typer
from typer.testing import CliRunner

from rlaif.cli.report import report
from rlaif.errors import UsageError
from tests.reference.fake_run import preferences, write_run
from tests.reference.fake_training import write_training
from tests.serving import heed_interrupts

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


def test_several_runs_are_laid_side_by_side(rlaif, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_run(tmp_path / name, preferences(5))
    code, out, _ = rlaif("report", "one", "two")
    assert (code, out.strip()) == (0, "report.html") and "one · two" in (tmp_path / "report.html").read_text(encoding="utf-8")
    code, _, error = rlaif("report", "one", "one")
    assert code == 2 and "given twice" in error


def test_a_run_is_watched_until_ctrl_c(rlaif, tmp_path: Path) -> None:
    assert rlaif("watch", "none")[0] == 2
    folder = write_training(tmp_path / "run", status="running")
    process = subprocess.Popen(
        [sys.executable, "-m", "rlaif", "watch", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"},
        preexec_fn=heed_interrupts,
    )
    try:
        url = re.search(r"http://\S+", process.stdout.readline())[0]
        assert httpx.get(url, timeout=60).status_code == 200
    finally:
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and error == "rlaif: stopped\n"
