"""``rlaif compare`` and ``rlaif lab compare``: what they print."""

from __future__ import annotations

import io
import json

from rich.console import Console

from rlaif.cli.compare import LiveTable, as_table
from rlaif.compare.measure import Figure
from rlaif.compare.table import Result, Results, brief_table


def test_a_dry_run_in_the_lab(rlaif):
    code, out, err = rlaif("lab", "compare", "--out", "c", "--dry-run", "--budget", "64", "--methods", "dpo", "--seeds", "2")
    assert code == 0, err
    assert "samples: 64 texts to draw\nlabels: at most 448 calls of the critic\nevaluation: 800 texts to draw\n" in out
    assert "2 seeds, 4 steps each: 1,728 texts to draw, at most 896 calls of the critic" in out


def test_rows_without_known_preferences_have_no_rlhf(rlaif, tmp_path):
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.8, B: 0.1}}]")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"prompt": f"p{n}"}) + "\n" for n in range(9)))
    asked = ("--model", "m", "--critic", "script:s.yaml", "--constitution", "lab", "--out", "c", "--held-out", "3")
    code, _, err = rlaif("compare", "rows.jsonl", *asked, "--methods", "rlhf")
    assert code == 2 and "--methods rlhf: rows.jsonl has no pairs with known preferences" in err
    code, out, err = rlaif("compare", "rows.jsonl", *asked, "--dry-run", "--samples", "2")
    assert code == 0, err
    assert "direct: 12 texts to draw" in out and "rlhf" not in out and "reft" not in out
    code, _, err = rlaif("compare", "rows.jsonl", *asked, "--held-out", "8")
    assert code == 2 and "--held-out 8" in err


def test_the_table_grows_while_the_comparison_runs():
    screen = io.StringIO()
    results = Results([Result("base", 0, {"total": Figure(0.5, 0.01)}), Result("dpo", 0, {"total": Figure(0.7, 0.01)})])
    with LiveTable(Console(file=screen, width=80)) as live:
        live.stage("seed 0, dpo (2/2): sample", 3, 0)
        live.update(2, {})
        live.show(results)
    assert "seed 0, dpo (2/2): sample" in screen.getvalue() and "2/3" in screen.getvalue()
    assert "0.700 ± 0.020" in screen.getvalue()


def test_the_table_fits_a_terminal():
    figures = {name: Figure(0.5, 0.01) for name in ("total", "helpfulness", "safety", "consistency", "wins", "diversity", "kl")}
    screen = io.StringIO()
    Console(file=screen, width=80).print(as_table(brief_table(Results([Result("best-of-n", 0, figures)]))))
    lines = screen.getvalue().splitlines()
    (row,) = (line for line in lines if "best-of-n" in line)
    assert max(map(len, lines)) <= 80 and "0.500 ± 0.020" in row and row.count("0.50 ") == 6
