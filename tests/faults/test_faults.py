"""Every command against a server in which 30% of the replies are wrong: each row ends as without faults, or is listed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlaif.engines import client
from rlaif.engines import server as engine
from rlaif.label.config import LabelConfig, ReviseConfig
from rlaif.label.revise_run import run_revise
from rlaif.label.run import run_label
from rlaif.rl.methods.grpo import Grpo
from rlaif.rl.run import run_rl
from rlaif.sample.config import SampleConfig
from rlaif.sample.run import run_sample
from rlaif.settings import configure
from tests.faults.server import FAULTS, LISTED, FaultServer, serving
from tests.tiny import save_model

CONSTITUTION = """
name: test
version: 1
principles:
  - {id: kind, text: The response is kind.}
"""
ROWS = 12
TRIES = 8
"""Requests for one prompt at most; a batch of prompts is tried on top of that."""
HANGING = ("hang", "drip")
WRITING = ("fewer choices", "null content", "null content, reasoning", "refusal", "cut")
"""Faults of texts: nothing is spoiled in a verdict by them."""


TRUTH: dict[tuple[str, str | None], dict[str, list]] = {}
"""What each command writes without faults, by command and kind of server."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(client, "PATIENCE", client.Patience(pauses=(0.001,) * (TRIES - 1), deadline=0.5, least=0.3))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return str(save_model(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def tokenizer(tiny, monkeypatch):
    """The folder of a tiny model, for servers that are asked by token ids, of a few prompts at once."""
    monkeypatch.setattr(engine, "PER_REQUEST", 4)
    return tiny


class Project:
    """A folder of rows, and what each command makes of them with a critic at some address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "c.yaml").write_text(CONSTITUTION)
        rows = [{"id": f"r{i}", "prompt": f"p{i}", "responses": [f"a{i}", f"b{i}", f"c{i}"]} for i in range(ROWS)]
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(self, command: str, server: FaultServer, name: str) -> tuple[dict[str, list], dict[str, set[str]]]:
        """By row: the records that the command wrote about it, and the reasons why it is listed as failed."""
        out, source, store = self.folder / name, str(self.folder / "rows.jsonl"), self.folder / f"{name}.sqlite"
        if command == "sample":
            config = configure(SampleConfig, source=source, model=server.url, out=out / "samples.jsonl", samples=3, store=store)
            run_sample(config)
            return by_row(config.out), reasons(config.failures)
        settings = {"source": source, "constitution": self.folder / "c.yaml", "critic": server.url, "out": out, "store": store}
        settings["max_failure_rate"] = 1.0
        if command == "revise":
            run_revise(configure(ReviseConfig, **settings))
            records = by_row(out / "revisions.jsonl")
            for verdicts in ("preferences", "rejected"):
                for row, judged in by_row(out / f"{verdicts}.jsonl").items():
                    records.setdefault(row, []).extend({**one, "row": None} for one in judged)  # of revisions.jsonl
            return records, reasons(out / "failures.jsonl")
        mode = {"reasons": "compare"}.get(command, command)
        run_label(configure(LabelConfig, **settings, mode=mode, reasons=command == "reasons", pairs="adjacent"))
        return by_row(out / ("scores.jsonl" if mode == "score" else "preferences.jsonl")), reasons(out / "failures.jsonl")


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def by_row(path: Path) -> dict[str, list]:
    found: dict[str, list] = {}
    for record in read(path):
        found.setdefault(record["id"].partition(":")[0], []).append(record)
    return found


def reasons(path: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for failure in read(path):
        assert failure["detail"] and len(failure["detail"].splitlines()) == 1 and failure["detail"].isprintable()
        name = failure["id"].partition(":")[0] if failure.get("id") else f"r{failure['row'] - 1}"
        found.setdefault(name, set()).add(failure["reason"])
    return found


def compare(project: Project, command: str, faults: tuple[str, ...], tokens: str | None = None) -> FaultServer:
    """Run the command with and without faults, and hold the one against the other."""
    if (command, tokens) not in TRUTH:
        with serving(FaultServer(vllm=tokens)) as honest:
            truth, none = project.run(command, honest, "honest")
        assert set(truth) == {f"r{i}" for i in range(ROWS)} and not none
        TRUTH[command, tokens] = truth
    truth = TRUTH[command, tokens]
    with serving(FaultServer(faults, vllm=tokens)) as server:
        found, listed = project.run(command, server, "faulty")
    for row, records in truth.items():
        assert found.get(row) == records or row in listed
        left = [record for record in found.get(row, []) if record not in records]
        assert not left or command == "revise", "a record that nobody said"  # what is judged there may itself be missing
    assert not set(found) - set(truth)
    assert max(server.asked.values()) <= TRIES
    return server


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture
def quiet(capsys):
    """Fails where more than one-line warnings have been printed."""
    yield
    shown = capsys.readouterr()
    assert not shown.out
    for line in shown.err.splitlines():
        assert line.startswith("rlaif: ") and line.isprintable() and len(line) < 410


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in WRITING and name != "disordered"])
def test_a_verdict_is_what_the_server_says_or_missing(project, quiet, fault):
    server = compare(project, "compare", (fault,))
    assert server.said[fault] > 4


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in (*WRITING, "null content", "no top_logprobs")])
def test_so_are_verdicts_by_token_ids(project, quiet, tokenizer, fault):
    server = compare(project, "compare", (fault,), tokenizer)
    assert server.said[fault] > 1


@pytest.mark.parametrize("fault", [*WRITING, "disordered", "drop", "half", "error in 200"])
@pytest.mark.parametrize("command", ["sample", "reasons"])
def test_a_text_is_whole_or_missing(project, quiet, command, fault):
    if (fault, command) in (("cut", "sample"), ("disordered", "reasons")):
        pytest.skip("a sampled response may be cut, and of one rationale there is no order")
    server = compare(project, command, (fault,))
    assert server.said[fault]


@pytest.mark.parametrize("command", ["score", "rank", "reasons", "revise", "sample", "compare"])
def test_all_faults_together(project, quiet, command):
    compare(project, command, tuple(name for name in FAULTS if name not in HANGING))


@pytest.mark.parametrize("command", ["compare", "score", "reasons", "sample", "revise"])
def test_all_faults_together_by_token_ids(project, quiet, tokenizer, command):
    compare(project, command, tuple(name for name in FAULTS if name not in (*HANGING, *LISTED)), tokenizer)


def test_rewards_of_a_training_run_are_what_the_server_says_or_missing(project, capfd):
    runs = {}
    for name, faults in (("honest", ()), ("faulty", tuple(name for name in FAULTS if name not in HANGING))):
        with serving(FaultServer(faults)) as server:
            asked = {
                "critic": server.url,
                "constitution": project.folder / "c.yaml",
                "store": project.folder / f"{name}.sqlite",
            }
            given = {"source": str(project.folder / "rows.jsonl"), "model": "lab:policy", "out": project.folder / name}
            small = {"batch_size": 8, "samples": 2, "max_tokens": 6, "steps": 2, "eval_prompts": 0}
            run_rl(configure(Grpo, **given, **small, **asked))
        runs[name] = [json.loads(line) for line in (project.folder / name / "metrics.jsonl").read_text().splitlines()]
    assert server.said.total() > 4 and max(server.asked.values()) <= TRIES
    steps = [[step for step in runs[name] if "reward" in step] for name in ("honest", "faulty")]
    assert len(steps[0]) == len(steps[1]) == 2
    assert steps[0][0]["reward"] == steps[1][0]["reward"] or steps[1][0]["failure_rate"] > 0
    shown = capfd.readouterr()
    assert "Traceback" not in shown.err and "bug" not in shown.err
