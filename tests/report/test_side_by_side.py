import json
import math

import pytest

from rlaif.errors import UsageError
from rlaif.report.page import page
from rlaif.report.side_by_side import differing, names_of, turned_to
from tests.reference.fake_run import preferences, write_run
from tests.reference.fake_training import write_training
from tests.reference.report_page import Page


def mirrored(record):
    """The same judgement of a pair with the other response chosen: every number turned."""
    other = {**record, "chosen": record["rejected"], "rejected": record["chosen"]}
    other |= {"chosen_index": record["rejected_index"], "rejected_index": record["chosen_index"]}
    turned = [{**one, "p": None if one["p"] is None else 1 - one["p"]} for one in record["principles"]]
    return {**other, "p_chosen": max(0.5, 1 - record["p_chosen"]), "principles": turned}


@pytest.fixture
def runs(tmp_path):
    """Two runs of the same pairs; the second chooses the other response in the first three, and lacks the last two."""
    records = preferences(30)
    others = [{**mirrored(record), "p_chosen": 0.9} for record in records[:3]] + records[3:-2]
    config = {"critic": ["a"], "seed": 0, "export": []}
    return [
        write_run(tmp_path / "one", records, config=config),
        write_run(tmp_path / "two", others, config={**config, "critic": ["b"]}),
    ]


def test_label_runs_are_matched_by_id_and_the_flipped_are_known(runs):
    text = page(runs)
    blocks = Page(text).blocks
    assert len(blocks["ids"]) == 28 and blocks["pairs"]["runs"] == ["one", "two"]
    assert blocks["p_1"][:3] == pytest.approx([0.1] * 3) and blocks["p_1"][3:] == pytest.approx(blocks["p"][3:])
    assert "two judged 28 of the pairs of one too, and prefers the other response in 3 of them (10.7%)." in text
    assert 'data-usual="turned"' in text
    same = [
        one == pytest.approx(other) or math.isnan(one)
        for one, other in zip(blocks["verdict_p"], blocks["verdict_p_1"], strict=True)
    ]
    assert all(same)  # a mirrored judgement says the same


def test_what_the_runs_were_made_with_is_told_where_it_differs(runs):
    text = page(runs)
    assert '<th scope="row">critic</th><td>a</td><td>b</td>' in text and '<th scope="row">seed</th>' not in text


def test_verdicts_that_turn_over_are_counted_by_principle(tmp_path):
    records = preferences(10)
    for record in records:
        for entry in record["principles"]:
            entry["p"] = 0.7
    others = json.loads(json.dumps(records))
    for record in others[:4]:
        record["principles"][1]["p"] = 0.2
    folders = [write_run(tmp_path / "a", records), write_run(tmp_path / "b", others)]
    text = page(folders)
    counted = {name: f'<th scope="row">{name}</th><td>{many}</td>' in text for name, many in (("polite", 0), ("harmless", 4))}
    assert counted == {"polite": True, "harmless": True}


def test_runs_without_a_pair_in_common_are_refused(tmp_path):
    others = [{**record, "id": f"x{record['id']}"} for record in preferences(5)]
    folders = [write_run(tmp_path / "a", preferences(5)), write_run(tmp_path / "b", others)]
    with pytest.raises(UsageError, match="matched by their ids"):
        page(folders)


def test_curves_of_training_runs_lie_over_one_another(tmp_path):
    folders = [write_training(tmp_path / "a"), write_training(tmp_path / "b", steps=10, config={"beta": 0.1})]
    text = page(folders)
    panels = {panel["title"]: panel for panel in Page(text).blocks["training"]["panels"]}
    held = panels["Reward: held-out prompts"]
    assert [(one["name"], len(one["x"])) for one in held["series"]] == [("a", 11), ("b", 6)]
    assert {"Reward gained against √KL: reward", "Reward gained against √KL: second judge"} <= panels.keys()
    assert '<th scope="row">beta</th><td>0.05</td><td>0.1</td>' in text


def test_rounds_lie_over_one_another(tmp_path):
    for number in (2, 1, 10):
        write_training(tmp_path / f"round-{number}" / "train")
    (tmp_path / "run.json").write_text(json.dumps({"kind": "rounds", "status": "finished"}))
    panels = Page(page([tmp_path])).blocks["training"]["panels"]
    assert [one["name"] for one in panels[-1]["series"]] == ["round 1", "round 2", "round 3"]


def test_rounds_of_which_none_has_trained_have_a_page(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"kind": "rounds", "status": "running"}))
    assert "No round yet" in page([tmp_path])


def test_names_are_as_long_as_tells_them_apart(tmp_path):
    places = [tmp_path / "x" / "run", tmp_path / "y" / "run"]
    assert names_of(places) == ["x/run", "y/run"] and names_of([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    with pytest.raises(UsageError, match="given twice"):
        names_of([tmp_path / "a", tmp_path / "a"])


def test_small_parts():
    assert turned_to(0.7, True) == 0.7 and turned_to(0.7, False) == pytest.approx(0.3) and math.isnan(turned_to(None, True))
    assert differing([{"config": {"a": 1, "out": "x"}}, {"config": {"a": 1, "out": "y"}}]) == []
