"""Nothing here may reach a network: no model hub, no data hub."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import sys

import pytest
from hypothesis import settings

from rlaif import cli, errors

settings.register_profile("repeatable", derandomize=True)  # what passes once passes again; a new test is another draw
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def no_secrets_of_other_tests(monkeypatch):
    """Passwords that a test's URLs hold would be cut from the texts of every later test of the process."""
    monkeypatch.setattr(errors, "_secrets", set())


@pytest.fixture
def one_thread():
    """Sums in one order, so that exact comparisons are fair."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def rlaif(tmp_path, monkeypatch, capsys):
    """Run the command in a folder of its own; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["rlaif", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


@pytest.fixture
def rlaif_command(rlaif):
    """The same, for tests that import the package under its name."""
    return rlaif


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory):
    """The URL of a vLLM server with the lab's critic, one for the session."""
    from rlaif.engines.open import lab_model
    from tests.serving import vllm_server

    with vllm_server(lab_model("lab"), tmp_path_factory.mktemp("server") / "log") as url:
        yield url
