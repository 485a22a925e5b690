import math
import sqlite3

import pytest

from rlaif.critic.store import VerdictStore, key
from rlaif.engines.base import Choice, Failure, FailureReason, Generation
from rlaif.errors import UsageError

ANSWERS = {
    b"a": Choice((-0.1, -math.inf), 0.9048374180359595, "A\ud800", 12, 3),
    b"b": Failure(FailureReason.TOO_LONG, "9 tokens"),
    b"c": [Generation("hi", (1, 2), (-0.5, -1.25), "stop"), Generation("", (), (), "length")],
}


def test_answers_come_back_as_they_were(tmp_path):
    with VerdictStore(tmp_path / "deep" / "s.sqlite") as store:
        store.put(ANSWERS.items())
    with VerdictStore(tmp_path / "deep" / "s.sqlite") as store:
        assert store.get([*ANSWERS, b"unknown"]) == ANSWERS


def test_many_keys_at_once(tmp_path):
    with VerdictStore(tmp_path / "s.sqlite") as store:
        answers = {str(i).encode(): Choice((-float(i), 0.0), 1.0, "B", i) for i in range(1300)}
        store.put(answers.items())
        assert store.get(list(answers)) == answers


def test_passing_failures_are_not_kept(tmp_path):
    with VerdictStore(tmp_path / "s.sqlite") as store:
        store.put([(b"x", Failure(FailureReason.ENGINE_ERROR, "gone"))])
        assert store.get([b"x"]) == {}


def test_the_first_answer_stays(tmp_path):
    with VerdictStore(tmp_path / "s.sqlite") as store:
        store.put([(b"x", Choice((0.0,), 1.0, "A", 1))])
        store.put([(b"x", Choice((-9.0,), 1.0, "B", 1))])
        assert store.get([b"x"])[b"x"].raw == "A"


def test_two_runs_share_a_store(tmp_path):
    with VerdictStore(tmp_path / "s.sqlite") as one, VerdictStore(tmp_path / "s.sqlite") as two:
        one.put([(b"x", ANSWERS[b"a"])])
        two.put([(b"y", ANSWERS[b"b"])])
        assert one.get([b"y"]) and two.get([b"x"])


def test_another_file_is_not_a_store(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, " * 100)
    with pytest.raises(UsageError, match=r"notes\.txt"):
        VerdictStore(path)
    sqlite3.connect(tmp_path / "other.sqlite").executescript("CREATE TABLE answers (x)")
    with pytest.raises(UsageError, match="other"):
        VerdictStore(tmp_path / "other.sqlite")


def test_keys_tell_everything_apart():
    parts = [("a", "b"), ("ab",), ("a", ["b"]), (["a", "b"],), ("a", "b", 0), ("a", "b", None), ("é",), ("e\u0301",)]
    assert len({key(*some) for some in parts}) == len(parts)
