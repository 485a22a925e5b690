"""``rlaif annotate`` from the command line: a real server, and what its answers are good for."""

import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.reference.fake_run import preferences, write_run

CONSTITUTION = {"name": "fake", "principles": [{"id": "polite", "text": "It is polite."}]}


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", preferences(60), constitution=CONSTITUTION)


def test_a_page_is_served_to_who_has_its_address_and_ctrl_c_ends_it(run, tmp_path):
    command = [sys.executable, "-m", "rlaif", "annotate", "run", "--annotator", "anna", "--limit", "2"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        address, _, token = re.search(r"(http://127\.0\.0\.1:\d+)/(#token=)(\S+)", process.stdout.readline()).groups()
        with httpx.Client(base_url=address, headers={"authorization": f"Bearer {token}"}, timeout=60) as client:
            assert client.get("/api/state", headers={"authorization": ""}).status_code == 401
            for number, key in enumerate("12"):
                assert client.post("/api/answer", json={"number": number, "key": key}).status_code == 200
    finally:
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert "2 of 2 questions answered by anna" in said and "next     rlaif evaluate agreement run --gold" in said
    assert len((run / "annotations-gold.jsonl").read_text().split("\n")) == 3


def answered(rlaif, monkeypatch, keys, *arguments):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(keys)))
    code, out, err = rlaif("annotate", "run", "--terminal", *arguments)
    assert code == 0, err
    return out


def test_two_annotators_in_the_terminal_and_what_takes_their_answers(rlaif, run, monkeypatch, tmp_path):
    answered(rlaif, monkeypatch, "12" * 20 + "t", "--annotator", "anna")
    out = answered(rlaif, monkeypatch, "2" * 30 + "u", "--annotator", "ben")
    assert re.search(r"anna and ben: \d+\.\d% of 29 answers the same, κ -?0\.\d+", out) and "(41 pairs, all annotators)" in out
    gold = "run/annotations-gold.jsonl"
    code, out, err = rlaif("evaluate", "agreement", "run", "--gold", gold)
    assert code == 0, err
    assert "estimated over all pairs of the run: " in out and re.search(r"all +\d+ ", out)
    (tmp_path / "c.yaml").write_text(
        "{name: c, version: 1, principles: [{id: polite, text: P.}, {id: harmless, text: H.}, {id: concise, text: C.}]}"
    )
    code, out, err = rlaif("constitution", "fit", "c.yaml", "--run", "run", "--gold", gold, "--dry-run")
    assert "fitted on" in out, err


def test_pairs_that_were_not_drawn_at_random_stand_for_themselves(rlaif, run, monkeypatch):
    answered(rlaif, monkeypatch, "12" * 20, "--choose", "uncertainty", "--by", "overall")
    _, out, _ = rlaif("evaluate", "agreement", "run", "--gold", "run/annotations-gold.jsonl")
    assert "40 pairs were not chosen at random" in out and "estimated" not in out


def test_answers_of_principles_are_gold_of_principles(rlaif, run, monkeypatch):
    answered(rlaif, monkeypatch, "1t2s", "--by", "polite", "--out", "mine.jsonl")
    rows = [json.loads(line) for line in Path("mine-gold.jsonl").read_text().split("\n")[:-1]]
    assert [row["responses"][0]["gold"].keys() for row in rows] == [{"polite"}] * 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--terminal", "--by", "rude"], "--by rude"),
        (["nowhere"], "not a run folder"),
        (["run", "--choose", "best"], "'best' is not one of"),
        (["run", "--out", "run/metrics.jsonl"], "would replace"),
    ],
)
def test_bad_input_is_one_message(rlaif, run, arguments, said):
    (run / "metrics.jsonl").write_text("{}\n")
    code, _, err = rlaif("annotate", *arguments)
    assert code == 2 and said in err


def test_without_its_packages_it_names_the_extra_and_the_terminal(rlaif, run, monkeypatch):
    monkeypatch.setattr("rlaif.cli.annotate.find_spec", lambda name: None)
    code, _, err = rlaif("annotate", "run")
    assert code == 2 and "rlaif[serve]" in err and "--terminal" in err
