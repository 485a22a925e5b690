"""What is judged of a file of known preferences, and what of a run's folder."""

import json

import pytest

from rlaif.cost import agreement_cost
from rlaif.data import hub
from rlaif.data.rows import Row
from rlaif.errors import UsageError
from rlaif.evaluate.config import AgreementConfig
from rlaif.label.benchmark import agree, is_run, planned
from rlaif.settings import configure
from tests.reference.fake_run import preferences, write_run

ROWS = [
    {"question": "q", "response_A": f"a{at}", "response_B": "b", "label": "A>B", "source": "livebench-math"} for at in range(5)
]


@pytest.fixture
def config(tmp_path):
    (tmp_path / "c.yaml").write_text("{name: c, version: 1, principles: [{id: kind, text: It is kind.}]}")
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.6, B: 0.4}}]")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    critic = {"critic": f"script:{tmp_path / 's.yaml'}", "constitution": tmp_path / "c.yaml", "store": tmp_path / "s.sqlite"}
    return lambda **settings: configure(
        AgreementConfig, **{"source": str(tmp_path / "rows.jsonl"), "out": tmp_path / "run", **critic, **settings}
    )


def test_what_is_planned_is_what_is_asked(config, tmp_path):
    assert [row.id for row in planned(config(limit=2)) if isinstance(row, Row)] == ["1", "2"]
    cost = agreement_cost(config(limit=2))
    found, folder = agree(config(limit=2))
    counts = json.loads((folder / "run.json").read_text())["counts"]
    assert cost.calls == counts["asked"] == 4 and (tmp_path / "run-rows.jsonl").is_file()
    assert [row.name for row in found.rows] == ["Math", "all"] and found.figures["contradictions/Math"].value == 1


def test_a_run_is_only_read(config, tmp_path):
    folder = write_run(tmp_path / "judged", preferences(40))
    mine = configure(AgreementConfig, source=str(folder))
    assert is_run(mine) and not is_run(config())
    found, read = agree(mine)
    assert read == folder and set(found.figures) == {"agreement", "both", "contradictions", "kappa", "ties-counted"}
    assert agreement_cost(mine).calls == 0
    with pytest.raises(UsageError, match="--limit is for judging a file"):
        is_run(configure(AgreementConfig, source=str(folder), limit=3))
    with pytest.raises(UsageError, match="--constitution, --critic and --out are needed"):
        is_run(config(out=None))


def test_a_benchmark_on_the_hub_is_read_as_its_file_is(config, monkeypatch):
    monkeypatch.setattr(hub, "hub_records", lambda source: enumerate(ROWS, 1))
    for name in ("owner/judge-bench:test", "hf://datasets/owner/judge-bench:test"):
        mine = config(source=name)
        assert not is_run(mine) and [row.id for row in planned(mine) if isinstance(row, Row)] == list("12345")
    with pytest.raises(UsageError, match="not a run folder"):
        is_run(configure(AgreementConfig, source="runs/typo"))
