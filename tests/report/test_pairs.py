import math

import pytest

from rlaif.data.records import PreferenceRecord
from rlaif.report.pairs import MAX_TEXT, Pairs, plainly_fenced
from rlaif.report.questions import Questions
from tests.reference.fake_run import preferences, turn
from tests.reference.report_page import Page

UNTOLD = Questions((), "none", "not told")


def stored(records):
    """The page that holds the records."""
    pairs = Pairs(UNTOLD)
    pairs.add(PreferenceRecord.from_dict(record) for record in records)
    tags = (
        f'<script data-block="{block.name}" data-kind="{block.kind}">{block.content}</script>'
        for block in pairs.blocks({"x": 1})
    )
    return Page("".join(tags))


def test_every_column_says_what_the_records_say():
    records = preferences(50)
    page = stored(records)
    blocks, about = page.blocks, page.blocks["pairs"]
    assert about["n"] == 50 and about["x"] == 1 and about["untold"] == "not told"
    assert blocks["ids"] == [record["id"] for record in records]
    for pair, record in enumerate(records):
        for name in ("prompt", "chosen", "rejected"):
            said = [[each["role"], each["content"]] for each in record[name]]
            assert page.text(blocks[name][pair]) == [said]
        assert blocks["p"][pair] == pytest.approx(record["p_chosen"], abs=1e-6)
        assert blocks["gold"][pair] == pytest.approx(record["gold"][-1]["margin"])
        assert [blocks[name][pair] for name in ("row", "chosen_index")] == [record["row"], record["chosen_index"]]
        held = range(blocks["start"][pair], blocks["start"][pair + 1])
        assert len(held) == len(record["principles"])
        for at, verdict in zip(held, record["principles"], strict=True):
            assert about["principles"][blocks["principle"][at]] == verdict["id"]
            failure = blocks["failure"][at]
            assert (about["failures"][failure - 1] if failure else None) == verdict["failure"]
            for name, column in (("p", "verdict_p"), ("gap", "gap"), ("mass", "mass")):
                value = blocks[column][at]
                assert math.isnan(value) if verdict[name] is None else value == pytest.approx(verdict[name], abs=1e-6)


def test_a_calibrated_verdict_is_held_with_the_critics_own_p_beside_which_the_gap_stands():
    (record,) = preferences(1)
    record["principles"][0] |= {"p": 0.7, "gap": 0.2, "uncalibrated": 0.55}
    blocks = stored([record]).blocks
    assert (blocks["verdict_p"][0], blocks["own_p"][0]) == pytest.approx((0.7, 0.55))
    assert blocks["own_p"][1] == blocks["verdict_p"][1]


def test_long_texts_are_cut_and_say_so_and_shared_texts_are_held_once():
    records = preferences(2)
    for record in records:
        record["prompt"] = [turn("user", "x" * (MAX_TEXT + 42_000))]
    page = stored(records)
    assert page.blocks["prompt"][0] == page.blocks["prompt"][1]
    turns, more = page.text(page.blocks["prompt"][0])
    assert "42,000 more characters" in turns[0][1] and more == {"cut": True}


def test_reasoning_and_calls_are_shown_with_what_is_said():
    (record,) = preferences(1)
    call = {"type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
    record["chosen"] = [{**turn("assistant", "It is 4."), "reasoning_content": "2 + 2", "tool_calls": [call]}]
    page = stored([record])
    assert page.text(page.blocks["chosen"][0]) == [[["assistant", '2 + 2\nIt is 4.\nlook({"at": 1})']], {"cut": True}]


@pytest.mark.parametrize(
    ("turns", "response", "expected"),
    [
        ([["user", "a"]], False, "<user>\na\n</user>"),
        ([["assistant", "a"]], True, "a"),
        ([["assistant", "a"], ["user", "b"]], True, "<assistant>\na\n</assistant>\n<user>\nb\n</user>"),
        ([], False, ""),
    ],
)
def test_how_turns_stand_in_a_prompt(turns, response, expected):
    assert plainly_fenced(turns, response) == expected
