"""What the commands of ``rlaif evaluate`` do with their figures."""

import json

import pytest

from rlaif.cli.evaluate.printed import print_found
from rlaif.errors import RunFailed
from rlaif.evaluate.agreement import Interval
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
