"""``rlaif evaluate`` from the outside."""

import json

import pytest

CONSTITUTION = "name: t\nversion: 1\nprinciples:\n  - {id: right, text: The response is right.}\n"
SCRIPT = """\
rules:
  - {when: "(?s)<response_a>.{0,2}good", choose: {A: 0.8, B: 0.2}}
  - {when: "(?s)<response_b>.{0,2}good", choose: {A: 0.4, B: 0.6}}
  - {choose: {A: 0.9, B: 0.1}}
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "s.yaml").write_text(SCRIPT)
    sources = ["mmlu-pro-law", "livebench-reasoning", "livebench-math", "livecodebench", "livecodebench"]
    rows = [
        {"question": "q", "response_A": f"good {at}", "response_B": f"bad {at}", "label": label, "source": source}
        for at, (source, label) in enumerate(zip(sources, ["A>B", "A>B", "B>A", "A>B", "A>B"], strict=True))
    ]  # fmt: skip
    rows[4] |= {"response_A": "odd", "response_B": "even"}
    (tmp_path / "jb.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_judgebench_gets_its_four_sections(files, rlaif):
    judged = ("evaluate", "agreement", "jb.jsonl", "--constitution", "c.yaml", "--critic", "script:s.yaml", "--out", "run")
    code, out, err = rlaif(*judged)
    assert code == 0, err
    shares = {line.split()[0]: line.split()[2] for line in out.splitlines() if "%" in line}
    assert shares == {"Knowledge": "100.0%", "Reasoning": "100.0%", "Math": "0.0%", "Coding": "50.0%", "all": "60.0%"}
    again, same, _ = rlaif("evaluate", "agreement", "run", "--by", "source")
    assert again == 0 and same == out


def test_a_file_needs_someone_to_judge_it(files, rlaif):
    code, _, err = rlaif("evaluate", "agreement", "jb.jsonl")
    assert code == 2 and "--critic" in err
    code, _, err = rlaif("evaluate", "agreement", "run", "--critic", "script:s.yaml")
    assert code == 2 and "--critic is for judging a file; run is a run's folder" in err


def test_models_are_ranked(files, tmp_path, rlaif):
    responses = [
        {"text": f"{word} {{}}", "model": name} for word, name in (("good", "strong"), ("bad", "weak"), ("poor", "idle"))
    ]
    rows = [{"prompt": "q", "responses": [{**one, "text": one["text"].format(at)} for one in responses]} for at in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rlaif("label", "rows.jsonl", "--constitution", "c.yaml", "--critic", "script:s.yaml", "--out", "run")
    code, out, _ = rlaif("evaluate", "ranking", "run")
    assert code == 0 and [line.split()[:2] for line in out.splitlines() if "[" in line] == [
        ["1", "strong"], ["2", "weak"], ["2", "idle"],
    ]  # fmt: skip
    code, _, err = rlaif("evaluate", "ranking", "run", "--by", "family")
    assert code == 2 and "chosen_family" in err


def test_a_file_with_names_of_its_own_is_judged(files, tmp_path, rlaif):
    rows = [{"ask": f"q {at}", "best": f"good {at}", "worst": f"bad {at}"} for at in range(4)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judged = ("evaluate", "agreement", "own.jsonl", "--constitution", "c.yaml", "--critic", "script:s.yaml", "--out", "own")
    assert rlaif(*judged)[0] == 2
    code, out, err = rlaif(*judged, "--columns", "prompt=ask,chosen=best,rejected=worst")
    assert code == 0, err
    assert "100.0%" in out and json.loads((tmp_path / "own" / "run.json").read_text())["counts"]["rows_out"] == 4
    named = "prompt=question,chosen=response_A,rejected=response_B"  # of a benchmark too, the user's word counts
    code, out, err = rlaif(*judged[:2], "jb.jsonl", *judged[3:-1], "jb", "--columns", named)
    assert code == 0 and "Knowledge" not in out, err
    code, _, err = rlaif("evaluate", "agreement", "own", "--columns", "prompt=ask")
    assert code == 2 and "--columns is for judging a file" in err


def test_a_win_rate_is_printed_written_and_required(files, tmp_path, rlaif):
    for name, word in (("a", "good"), ("b", "bad")):
        rows = [{"prompt": f"q{number}", "responses": [f"{word} {number}"]} for number in range(12)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judge = ("--constitution", "c.yaml", "--critic", "script:s.yaml")
    command = ("evaluate", "win-rate", "a.jsonl", "b.jsonl", *judge, "--out", "r")
    code, out, err = rlaif(*command, "--json", "r.json", "--above", "0.6")
    assert code == 0, err
    shown = [line.split()[:2] for line in out.splitlines() if "%" in line]
    assert shown == [["overall", "70.0%"], ["right", "70.0%"]]
    overall = json.loads((tmp_path / "r.json").read_text())[0]
    assert overall["name"] == "overall" and overall["share"]["value"] == pytest.approx(0.7) and overall["wins"] == 12
    code, _, err = rlaif(*command, "--above", "0.75")
    assert code == 1 and "--above 0.75: A's win rate is 70.0%" in err
