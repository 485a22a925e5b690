"""The wheel alone, in an empty folder: what ships is found by name, and the offline commands work."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The folder of the unpacked wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "--no-index", "-w", folder, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def command(wheel, tmp_path):
    """Run Python with the wheel's package, from an empty folder."""

    def call(*arguments):
        variables = {**os.environ, "PYTHONPATH": str(wheel), "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_it_holds_the_package_and_no_checkout(command, wheel):
    assert command("-c", "import rlaif; print(rlaif.__file__)").strip() == str(wheel / "rlaif" / "__init__.py")
    assert not (wheel / "tests").exists()
    named = command("-m", "rlaif", "constitution", "list")
    assert all(name in named for name in ("concise", "helpful-honest-harmless", "lab", "summarization"))
    assert "concise: ok" in command("-m", "rlaif", "constitution", "check", "concise")


def test_the_first_minute(command, tmp_path):
    command("-m", "rlaif", "init")
    command("-m", "rlaif", "lab", "rows", "--n", "8", "--out", "rows.jsonl")
    command("-m", "rlaif", "label", "rows.jsonl", "--config", "config.yaml", "--constitution", "lab")
    training = ["--model", "lab:policy", "--max-steps", "2", "--batch-size", "4", "--out", "runs/dpo"]
    command("-m", "rlaif", "train", "dpo", "runs/first", *training)
    command("-m", "rlaif", "report", "runs/first")
    assert (tmp_path / "runs/dpo/model/model.safetensors").is_file()
    assert (tmp_path / "runs/first/report.html").is_file()
