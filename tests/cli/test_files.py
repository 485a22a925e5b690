"""No command destroys what it reads, or a file that it did not write; trouble with a disk is one message, and can be mended."""

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rlaif.lab import world
from tests.tiny import save_model

CONSTITUTION = "name: t\nversion: 1\nprinciples:\n  - {id: kind, text: The response is kind.}\n"
LABEL = "label rows.jsonl --constitution c.yaml --critic script:s.yaml --out run"
GRPO = "train grpo lab.jsonl --model lab:policy --reward gold --out run"
SAMPLE = "sample prompts.jsonl --model script:s.yaml --out out/samples.jsonl"


def rows(n, start=0):
    given = ({"prompt": f"hi {number}", "responses": ["a", "b"]} for number in range(start, start + n))
    return "".join(json.dumps(row) + "\n" for row in given)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.7, B: 0.2}, generate: word}]")
    (tmp_path / "rows.jsonl").write_text(rows(5))
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "hi"}\n')
    for name in ("preferences.jsonl", "c.yaml", "s.yaml"):
        (tmp_path / "mine").mkdir(exist_ok=True)
        shutil.copy(tmp_path / ("rows.jsonl" if name == "preferences.jsonl" else name), tmp_path / "mine" / name)
    (tmp_path / "mine" / "README.md").write_text("mine")
    return tmp_path


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "command",
    [
        "label mine/preferences.jsonl --constitution c.yaml --critic script:s.yaml --out mine",
        "label mine/preferences.jsonl --constitution c.yaml --critic script:s.yaml --out mine --overwrite",
        "label rows.jsonl --constitution mine/c.yaml --critic script:s.yaml --out mine --overwrite",
        "label rows.jsonl --constitution c.yaml --critic script:s.yaml --critic script:mine/s.yaml --out mine --overwrite",
        "label rows.jsonl --constitution c.yaml --critic script:s.yaml --out mine",
        "revise mine/preferences.jsonl --constitution c.yaml --critic script:s.yaml --out mine --overwrite",
        "sample mine/preferences.jsonl --model script:s.yaml --out mine/preferences.jsonl",
        "sample mine/preferences.jsonl --model script:s.yaml --out mine/preferences.jsonl --overwrite",
        "sample rows.jsonl --model script:s.yaml --out mine/preferences.jsonl",
        "train dpo mine/preferences.jsonl --model lab:policy --out mine --overwrite",
        "train sft rows.jsonl --model lab:policy --out mine",
        "train grpo mine/preferences.jsonl --model lab:policy --reward gold --out mine --overwrite",
        "lab rows --out mine/README.md",
        "constitution import c.yaml --out c.yaml --overwrite",
        "evaluate agreement rows.jsonl --constitution c.yaml --critic script:mine/s.yaml --out mine",
    ],
)
def test_what_is_the_users_is_not_destroyed(folder, rlaif, command):
    before = contents(folder)
    code, _, err = rlaif(*command.split())
    assert code == 2 and ("--out" in err or "belongs to no run" in err)
    assert {name: content for name, content in contents(folder).items() if name in before} == before


def test_a_report_does_not_replace_a_users_file_or_the_runs_own(folder, rlaif):
    assert rlaif(*LABEL.split())[0] == 0
    before = contents(folder)
    for out in ("rows.jsonl", "run/preferences.jsonl", "run/run.json"):
        code, _, err = rlaif("report", "run", "--out", out)
        assert code == 2 and out in err
    assert rlaif("report", "run", "--out", "run/failures.jsonl", "--overwrite")[0] == 2
    assert contents(folder) == before
    assert rlaif("report", "run", "--out", "page.html")[0] == rlaif("report", "run", "--out", "page.html")[0] == 0
    assert rlaif("report", "run", "--out", "rows.jsonl", "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: (folder / "c.yaml").write_text(CONSTITUTION.replace("kind.", "polite.")), "another constitution"),
        (lambda folder: (folder / "s.yaml").write_text("rules: [{choose: {A: 0.6, B: 0.2}}]"), "another critic"),
        (lambda folder: (folder / "rows.jsonl").write_text(rows(3)), "other rows in rows.jsonl"),
        (lambda folder: ["--orders", "ab"], "orders 'both', not 'ab'"),
        (lambda folder: ["--seed", "3", "--min-mass", "0.2"], "min-mass 0.1, not 0.2, and seed 0, not 3"),
    ],
)
def test_a_run_is_not_replaced_by_another_without_a_word(folder, rlaif, change, says):
    assert rlaif(*LABEL.split())[0] == 0
    assert rlaif(*LABEL.split())[0] == 0  # the same one again
    before = contents(folder / "run")
    changed = change(folder)
    more = changed if isinstance(changed, list) else []
    code, _, err = rlaif(*LABEL.split(), *more)
    assert code == 2 and says in err and "--overwrite" in err
    assert contents(folder / "run") == before
    assert rlaif(*LABEL.split(), *more, "--overwrite")[0] == 0


def test_samples_are_continued_and_not_replaced(folder, rlaif):
    assert rlaif(*SAMPLE.split())[0] == 0
    before = (folder / "out" / "samples.jsonl").read_bytes()
    assert rlaif(*SAMPLE.split())[0] == 0
    for more, says in ((["--samples", "3"], "samples 4, not 3"), (["--model", "script:mine/s.yaml"], None)):
        code, _, err = rlaif(*SAMPLE.split(), *more)
        assert (code == 2 and says in err) if says else code == 0
        assert (folder / "out" / "samples.jsonl").read_bytes() == before
    (folder / "prompts.jsonl").write_text('{"prompt": "ho"}\n')
    assert "other rows" in rlaif(*SAMPLE.split())[2]
    assert rlaif(*SAMPLE.split(), "--overwrite")[0] == 0
    record = json.loads((folder / "out" / "samples.run.json").read_text())
    assert record["status"] == "finished" and record["counts"]["rows_out"] == 1


def test_a_source_that_is_shortened_while_it_is_read_is_no_finished_run(folder, rlaif, monkeypatch):
    from rlaif.label import run

    (folder / "rows.jsonl").write_text(rows(3000))
    stream = run._stream

    def shortened(*arguments, **options):
        with (folder / "rows.jsonl").open("r+b") as file:
            file.truncate(20_000)
        return stream(*arguments, **options)

    monkeypatch.setattr(run, "_stream", shortened)
    code, _, err = rlaif(*LABEL.split())
    assert code == 1 and "rows.jsonl changed while it was read" in err
    assert json.loads((folder / "run" / "run.json").read_text())["status"] == "failed"
    assert not (folder / "run" / "preferences.jsonl").exists()


def test_revise_leaves_the_failures_that_it_names(folder, rlaif):
    (folder / "s.yaml").write_text("rules: [{fail: refused}]")
    code, _, err = rlaif("revise", "rows.jsonl", "--constitution", "c.yaml", "--critic", "script:s.yaml", "--out", "run")
    assert code == 1 and "failures.jsonl" in err
    assert len((folder / "run" / "failures.jsonl").read_text().splitlines()) == 10


def limited(folder, command, size):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return subprocess.run(
        [sys.executable, "-m", "rlaif", *command.split()],
        cwd=folder,
        env={
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PATH": "/usr/bin:/bin",
            "HF_HUB_OFFLINE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        preexec_fn=limit,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "out", "size", "says"),
    [
        (f"{LABEL} --store big.sqlite", "preferences.jsonl", 40_000, "big.sqlite: the verdict store cannot be written"),
        (
            f"{GRPO} --steps 1 --eval-prompts 0 --batch-size 2 --max-tokens 8",
            "model/model.safetensors",
            100_000,
            "run/checkpoints/step-1.pt: File too large; raise the limit",
        ),
        (
            "train dpo pairs.jsonl --model tiny --out run --save-every 1 --batch-size 4",
            "model/model.safetensors",
            700_000,  # the weights, and not the optimiser's state
            "run/checkpoints/checkpoint-1: the file does not take all of it; free some space, or raise the limit",
        ),
    ],
)
def test_a_disk_that_takes_no_more_is_one_message_and_the_run_is_resumed(folder, command, out, size, says):
    (folder / "rows.jsonl").write_text(rows(300))
    prompts = ({name: row[name] for name in ("id", "prompt", "tags")} for row in world.rows(4, 0, "heldout", 0))
    (folder / "lab.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    pairs = ({"prompt": f"q{number}", "chosen": "hello", "rejected": "world"} for number in range(8))
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    save_model(folder / "tiny")
    refused = limited(folder, command, size)
    said = [line for line in refused.stderr.splitlines() if line.startswith("rlaif: ")]
    assert refused.returncode == 1 and len(said) == 1 and says in said[0] and "Traceback" not in refused.stderr
    record = json.loads((folder / "run" / "run.json").read_text())
    assert record["status"] == "failed" and says in record["error"]
    again = limited(folder, command, 1 << 40)
    assert again.returncode == 0, again.stderr
    resumed = (folder / "run" / out).read_bytes()
    shutil.rmtree(folder / "run")
    assert limited(folder, command, 1 << 40).returncode == 0
    assert (folder / "run" / out).read_bytes() == resumed
