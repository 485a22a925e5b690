import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlaif.annotate.log import Answer, Log, votes, write_gold
from rlaif.data.read import read_rows
from rlaif.errors import RunFailed, UsageError
from tests.reference.fake_run import turn


def answer(given="response_1", annotator="anna", question="overall", number=1, swapped=False, **more):
    texts = (turn("assistant", f"good {number}"),), (turn("assistant", f"bad {number}"),)
    first, second = texts[::-1] if swapped else texts
    shown = {"prompt": (turn("user", f"q{number}"),), "response_1": first, "response_2": second}
    return Answer(
        id=f"{number}:0-1", **shown, question=question, answer=given, annotator=annotator, choose="random", time="now", **more
    )


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "deep" / "a.jsonl")


def test_the_last_answer_counts_until_it_is_undone(log):
    for given in ("response_1", "tie", "response_2"):
        log.add(answer(given))
    (kept,) = log.standing().values()
    assert kept == answer("response_2")
    log.add(answer("undone"))
    assert not log.standing() and len(log.path.read_text().splitlines()) == 4


def test_a_torn_line_goes_and_whole_ones_stay(log):
    log.add(answer())
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + whole[:40])
    again = Log(log.path)
    again.add(answer(annotator="ben"))
    assert log.path.read_bytes().startswith(whole) and len(again.standing()) == 2


@pytest.mark.parametrize("line", ["{}", "[1]", "no", '{"id": "1"}', json.dumps({**answer().to_dict(), "answer": "good"})])
def test_another_file_is_left_alone(tmp_path, line):
    path = tmp_path / "other.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(UsageError, match=r"other\.jsonl:1: no answer of rlaif annotate"):
        Log(path)
    assert path.read_text() == line + "\n"


def test_what_the_disk_refuses_leaves_no_half_of_a_line(log, monkeypatch):
    log.add(answer())
    before = log.path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(RunFailed, match="free some space"):
        log.add(answer(number=2))
    assert log.path.read_bytes() == before


def test_processes_that_add_at_once_lose_nothing(log):
    """Each with its own handle and lock, as processes have."""

    def add(annotator):
        own = Log(log.path)
        for number in range(20):
            own.add(answer(annotator=annotator, number=number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, "abcd"))
    assert len(log.standing()) == 80


def test_gold_is_the_share_whatever_stood_first(log, tmp_path):
    given = ("a", "response_1", False), ("b", "response_2", True), ("c", "tie", False), ("d", "response_1", True)
    for annotator, said, swapped in given:
        log.add(answer(said, annotator, swapped=swapped))
    log.add(answer("response_2", question="kind"))
    log.add(answer("skip", number=2))
    standing = log.standing()
    (overall, _) = votes(standing.items()).values()
    assert len(set(overall.values())) == 3
    assert write_gold(standing, tmp_path / "gold.jsonl") == 1
    (row,) = read_rows(str(tmp_path / "gold.jsonl"))
    gold = {response.turns[0]["content"]: dict(response.gold) for response in row.responses}
    assert gold == {"good 1": {"overall": 2.5 / 4, "kind": 0.0}, "bad 1": {"overall": 1.5 / 4, "kind": 1.0}}
