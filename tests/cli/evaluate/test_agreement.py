"""``rlaif evaluate agreement`` from the outside."""

import json


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


def test_rewardbench_2_is_best_of_four_by_pairs_and_has_ties_by_scores(files, tmp_path, rlaif):
    rows = [
        {
            "id": str(at),
            "prompt": "q",
            "chosen": [f"good {at}"],
            "rejected": [f"bad {at}{n}" for n in range(3)],
            "subset": "Math",
        }
        for at in range(3)
    ]
    rows[2] |= {"chosen": ["odd"], "rejected": ["good", "bad", "worse"]}
    rows += [
        {"id": f"{kind}:0", "prompt": "q", "chosen": ["good a", "good b"][:n], "rejected": ["bad a"], "subset": "Ties"}
        for kind, n in (("ref", 1), ("tied", 2))
    ]
    rows = [{**row, "num_correct": len(row["chosen"])} for row in rows]
    (tmp_path / "rb2.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judged = ("evaluate", "agreement", "rb2.jsonl", "--constitution", "c.yaml", "--critic", "script:s.yaml", "--out")
    code, out, err = rlaif(*judged, "pairs", "--require", "best-of/Math>0.6")
    assert code == 0, err
    assert [line.split()[:3] for line in out.splitlines() if "%" in line] == [["Math", "3", "66.7%"], ["all", "3", "66.7%"]]
    assert "no prompts of Ties: their score is of single responses; --mode score has them" in out
    code, out, err = rlaif(*judged, "pairs", "--dry-run")
    assert code == 0 and "9 prompts · at most 18 calls of the critic" in out, err
    code, out, err = rlaif(*judged[:-2], "script:scores.yaml", "--out", "scores", "--mode", "score")
    assert code == 0, err
    shares = {line.split()[0]: line.split()[2] for line in out.splitlines() if "%" in line}
    assert shares == {"Math": "66.7%", "Ties": "101.0%", "all": "83.8%"}  # of ties, as published, 1.01 is the most


def test_a_column_that_splits_a_file_is_found(files, tmp_path, rlaif):
    rows = [{"prompt": "q", "chosen": f"good {at}", "rejected": f"bad {at}", "category": "ab"[at % 2]} for at in range(4)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, err = rlaif(
        *("evaluate", "agreement", "own.jsonl", "--constitution", "c.yaml", "--critic", "script:s.yaml", "--out", "own"),
        *("--json", "deep/figures.json", "--require", "agreement>0.9", "--require", "both/c>0.5"),
    )
    assert code == 1 and "both/c>0.5 cannot be told" in err and "agreement>" not in err
    assert [line.split()[0] for line in out.splitlines() if "%" in line] == ["a", "b", "all"]
    figures = json.loads((tmp_path / "deep" / "figures.json").read_text())
    assert [(row["name"], row["pairs"]) for row in figures] == [("a", 2), ("b", 2), ("all", 4)]
    assert (tmp_path / "own" / "figures.json").read_text() == (tmp_path / "deep" / "figures.json").read_text()
