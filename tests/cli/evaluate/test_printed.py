"""What the commands of ``rlaif evaluate`` do with their figures."""

import json

import pytest

from rlaif.cli.evaluate.printed import print_cells, print_found
from rlaif.errors import RunFailed
from rlaif.evaluate.agreement import Interval
from rlaif.evaluate.benchmark import Section, cells
from rlaif.evaluate.config import Outcome
from rlaif.evaluate.outcome import Found
from rlaif.evaluate.requirements import SHARE


def test_figures_are_shown_and_written_before_a_requirement_fails(tmp_path, capsys):
    found = Found([{"name": "x", "share": 0.4}], [["name", "share"], ["x\x1b[31m", "40%"]], {"share": Interval(0.4, 0.3, 0.5)})
    with pytest.raises(RunFailed, match=r"share>0.6 is not met: 40.0% \[30.0, 50.0\]"):
        print_found(found, Outcome(require=("share>0.6",)), {"share": SHARE}, tmp_path, "rlaif report x")
    out, err = capsys.readouterr()
    assert "40%" in out and "\x1b" not in out and "next     rlaif report x" in err
    assert json.loads((tmp_path / "figures.json").read_text()) == [{"name": "x", "share": 0.4}]


def test_a_table_that_is_too_wide_is_folded(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    header = ["a section", *(f"the figure {number}" for number in range(4))]
    print_cells([header, ["Precise IF", *["100.0% [90.0, 100.0]"] * 4]])
    out = capsys.readouterr().out
    assert "…" not in out and out.count("[90.0, 100.0]") == 4 and "Precise IF" in out
    assert max(map(len, out.splitlines())) <= 80
    print_cells([header[:2], ["x", "50.0% [40.0, 60.0]"]])
    assert "50.0% [40.0, 60.0]" in capsys.readouterr().out


def test_the_widest_table_of_a_benchmark_fits_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    nothing = Interval(1.0, 0.758, 1.0)
    print_cells(cells([Section("xstest-should-respond", 1234, nothing, nothing, nothing, 1.0, 0, nothing)]))
    print_cells(cells([Section("xstest-should-respond", 1234, nothing, nothing, nothing, 1.0, 99, nothing)]))
    print_cells(
        [
            ["rank", "name", "Bradley–Terry", "95%", "Elo", "comparisons"],
            ["1", "org/model-" * 9, "1000", "[990, 1010]", "1000", "99"],
        ]
    )
    assert "…" not in capsys.readouterr().out
