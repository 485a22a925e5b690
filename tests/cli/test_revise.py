"""What ``rlaif revise`` says and how it exits, whatever it is given."""

from __future__ import annotations

import json

import pytest

CONSTITUTION = "{name: c, version: 1, principles: [{id: polite, text: The response is polite.}]}"
SCRIPT = """
rules:
  - {when: poison, fail: refused}
  - {when: put right, generate: "A fine day, [bold] friend."}
  - {generate: It is curt.}
  - {when: "(?s)<response_a>.{0,2}A fine", choose: {A: 0.9, B: 0.1}}
  - {choose: {A: 0.1, B: 0.9}}
"""
ROWS = ({"prompt": "Hi", "responses": ["Hm.", "What?"]}, {"prompt": "poison", "responses": ["Hm."]})


@pytest.fixture
def run(tmp_path, rlaif):
    def call(*arguments, rows=ROWS, critic="script:s.yaml"):
        (tmp_path / "s.yaml").write_text(SCRIPT)
        (tmp_path / "c.yaml").write_text(CONSTITUTION)
        (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        command = ("revise", "r.jsonl", "--constitution", "c.yaml", "--critic", critic, "--out", "run")
        return rlaif(*command, "--max-failure-rate", "0.5", *arguments)

    return call


def test_it_says_what_came_out_and_where(run, tmp_path):
    code, out, _ = run("--rounds", "1", "--seed", "3", "--temperature", "0.7")
    assert code == 0
    assert "3 responses: 2 revisions confirmed, 0 rejected, 0 not judged, 0 left as they were, 1 failed" in out
    assert all(f"run/{name}" in out for name in ("preferences.jsonl", "sft.jsonl", "rejected.jsonl", "failures.jsonl"))
    config = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert (config["reviser"], config["seed"], config["temperature"], config["max_tokens"]) == ("script:s.yaml", 3, 0.7, 512)
    assert (tmp_path / "runs" / "verdicts.sqlite").is_file()


def test_report_reads_its_folder(run, rlaif):
    run()
    assert rlaif("report", "run")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "options", "code", "said"),
    [
        ([], {"rows": []}, 2, "r.jsonl: the file is empty"),
        ([], {"critic": "lab:nobody"}, 2, "the lab has no such model"),
        (["--reviser", "./nowhere"], {}, 2, "no such folder"),
        (["--critique-shots", "1"], {}, 2, "no example in c.yaml has a critique"),
        (["--prompts", "."], {}, 2, "compare.yaml"),
        (["--rounds", "0"], {}, 2, "rounds"),
        ([], {"rows": [{"prompt": "Hi"}]}, 1, "no row has a response to revise"),
        (["--max-failure-rate", "0.1"], {}, 1, "1 of 3 revisions failed"),
    ],
)
def test_what_cannot_work_is_said(run, arguments, options, code, said):
    found, out, err = run(*arguments, **options)
    assert found == code
    assert said in " ".join((out + err).split())


def test_a_prompts_folder_without_its_template_is_named(run, tmp_path):
    from rlaif.critic.templates import default_folder

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "compare.yaml").write_bytes((default_folder() / "compare.yaml").read_bytes())
    code, _, err = run("--prompts", "mine")
    assert code == 2 and "mine/revise.yaml: no such template" in err
