import json

import pytest

from rlaif.data.records import PreferenceRecord
from rlaif.errors import UsageError
from rlaif.evaluate.gold import known, labelled_records
from tests.reference.fake_run import preferences, turn, write_lines, write_run

SHOWN = {"response_1": "rejected", "response_2": "chosen"}


@pytest.fixture
def records():
    return preferences(3)


def golds(run, source):
    return [(record.gold_margin, record.gold_margins) for record in labelled_records(run, str(source))]


def test_labels_of_a_file_take_the_place_of_the_runs_whatever_their_order(tmp_path, records):
    run = write_run(tmp_path / "run", records)
    better, worse = ([turn("assistant", records[1][side][0]["content"])] for side in ("chosen", "rejected"))
    asked = [dict(reversed(list(turn.items()))) for turn in records[1]["prompt"]]
    responses = [
        {"messages": worse, "gold": {"polite": 1, "overall": 0.25}},
        {"messages": better, "gold": {"polite": 0, "overall": 0.75}},
    ]
    write_lines(tmp_path / "gold.jsonl", [{"prompt": asked, "responses": responses}])
    assert golds(run, tmp_path / "gold.jsonl") == [(None, {}), (0.5, {"polite": -1.0}), (None, {})]
    own = [PreferenceRecord.from_dict(record) for record in records]
    assert list(labelled_records(run)) == own


def test_chosen_and_rejected_and_other_tools_answers_are_gold_too(tmp_path, records):
    run = write_run(tmp_path / "run", records)
    first = records[0]
    write_lines(tmp_path / "pairs.jsonl", [{name: first[name] for name in ("prompt", "chosen", "rejected")}])
    shown = {"prompt": first["prompt"], **{name: first[side][0]["content"] for name, side in SHOWN.items()}}
    write_lines(tmp_path / "argilla.jsonl", [{"fields": shown, "responses": {"overall": [{"value": "response_1"}]}}])
    assert golds(run, tmp_path / "pairs.jsonl")[0] == (1.0, {})
    assert golds(run, tmp_path / "argilla.jsonl")[0] == (-1.0, {})


def test_principles_make_the_overall_label_where_all_have_one(tmp_path, records):
    run = write_run(tmp_path / "run", records)
    for names, overall in ((("polite", "harmless", "concise"), pytest.approx(1 / 3)), (("polite", "harmless"), None)):
        margins = dict(zip(names, (1, 1, -1), strict=False))
        responses = [
            {"messages": records[0]["chosen"], "gold": margins},
            {"messages": records[0]["rejected"], "gold": dict.fromkeys(names, 0)},
        ]
        write_lines(tmp_path / "gold.jsonl", [{"prompt": records[0]["prompt"], "responses": responses}])
        assert golds(run, tmp_path / "gold.jsonl")[0] == (overall, margins)


def test_a_pair_that_is_there_twice_has_the_mean(tmp_path):
    row = {"prompt": "q", "responses": [{"text": "a", "gold": {"overall": 1}}, {"text": "b", "gold": {"overall": 0}}]}
    other = {**row, "responses": [{"text": "b", "gold": {"overall": 1}}, {"text": "a", "gold": {"overall": 0.5}}]}
    write_lines(tmp_path / "gold.jsonl", [row, other])
    ((margins),) = known(str(tmp_path / "gold.jsonl")).values()
    assert margins == {"overall": 0.25}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "q", "responses": ["a", "b"]}, "no pair has a known preference"),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "holds none of the pairs"),
        (
            {"prompt": "q", "responses": [{"text": "a", "gold": {"overall": "x"}}, "b"]},
            "row 1: .*gold of overall: must be a number",
        ),
    ],
)
def test_a_file_that_says_nothing_is_refused(tmp_path, records, row, said):
    run = write_run(tmp_path / "run", records)
    (tmp_path / "gold.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UsageError, match=said):
        golds(run, tmp_path / "gold.jsonl")
