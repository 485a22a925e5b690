import math
import os
import sqlite3
from importlib.metadata import version
from pathlib import Path

import pytest

from rlaif.critic.store import FORMAT, VerdictStore, key
from rlaif.engines.base import Choice, Failure, FailureReason, Generation
from rlaif.errors import RunFailed, UsageError

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


DAMAGE = [
    "",
    "{",
    "null",
    "7",
    "[]",
    "[1]",
    "{}",
    '"text"',
    '{"logprobs":[NaN,-1],"mass":0.5,"raw":"A","prompt_tokens":1,"cut_tokens":0}',
    '{"logprobs":[Infinity],"mass":0.5,"raw":"A","prompt_tokens":1,"cut_tokens":0}',
    '{"logprobs":[5.0,-1],"mass":0.5,"raw":"A","prompt_tokens":1,"cut_tokens":0}',
    '{"logprobs":["-1"],"mass":0.5,"raw":"A","prompt_tokens":1,"cut_tokens":0}',
    '{"logprobs":[true],"mass":0.5,"raw":"A","prompt_tokens":1,"cut_tokens":0}',
    '{"logprobs":[],"mass":0.5,"raw":"A","prompt_tokens":1,"cut_tokens":0}',
    '{"logprobs":[-1],"mass":1.5,"raw":"A","prompt_tokens":1,"cut_tokens":0}',
    '{"logprobs":[-1],"mass":NaN,"raw":"A","prompt_tokens":1,"cut_tokens":0}',
    '{"logprobs":[-1],"mass":0.5,"raw":null,"prompt_tokens":1,"cut_tokens":0}',
    '{"logprobs":[-1],"mass":0.5,"raw":"A","prompt_tokens":-1,"cut_tokens":0}',
    '{"logprobs":[-1],"mass":0.5,"raw":"A"}',
    '{"reason":"because","detail":""}',
    '{"reason":"too_long","detail":3}',
    '[{"text":"x","token_ids":[1],"logprobs":[],"finish":"stop"}]',
    '[{"text":"x","token_ids":[1],"logprobs":[NaN],"finish":"stop"}]',
    '[{"text":"x","token_ids":[-1],"logprobs":[0],"finish":"stop"}]',
    '[{"text":null,"token_ids":[],"logprobs":[],"finish":"stop"}]',
    '[{"text":"x","token_ids":[],"logprobs":[],"finish":"tired"}]',
    b"\xff\xfe\x00",
]


@pytest.mark.parametrize("text", DAMAGE)
def test_a_damaged_answer_is_named_and_asked_again(tmp_path, capsys, text):
    path = tmp_path / "s.sqlite"
    with VerdictStore(path) as store:
        store.put(ANSWERS.items())
    with sqlite3.connect(path) as opened:
        opened.execute("UPDATE answers SET answer = ? WHERE key = ?", (text, b"a"))
    opened.close()
    with VerdictStore(path) as store:
        for _ in range(2):
            assert store.get(list(ANSWERS)) == {name: ANSWERS[name] for name in (b"b", b"c")}
        assert capsys.readouterr().err.count("\n") == 1
        store.put([(b"a", ANSWERS[b"a"])])
    with VerdictStore(path) as store:
        assert store.get(list(ANSWERS)) == ANSWERS
    assert "is damaged" not in capsys.readouterr().err


def test_many_damaged_answers_are_not_many_lines(tmp_path, capsys):
    path = tmp_path / "s.sqlite"
    with VerdictStore(path) as store:
        store.put((str(i).encode(), ANSWERS[b"a"]) for i in range(100))
        store._db.execute("UPDATE answers SET answer = substr(answer, 5)")
        assert store.get([str(i).encode() for i in range(100)]) == {}
    error = capsys.readouterr().err
    assert error.count("\n") == 4 and f"{path}: the answer under key " in error


def test_a_store_says_which_version_wrote_it_and_a_later_one_is_not_believed(tmp_path):
    path = tmp_path / "s.sqlite"
    with VerdictStore(path) as store:
        assert store._db.execute("PRAGMA user_version").fetchone() == (FORMAT,)
        assert store._db.execute("SELECT value FROM meta WHERE name = 'rlaif'").fetchone() == (version("rlaif"),)
        store._db.execute(f"PRAGMA user_version = {FORMAT + 1}")
        store._db.execute("UPDATE meta SET value = '99.1'")
    with pytest.raises(UsageError, match=r"later version of rlaif \(99\.1"):
        VerdictStore(path)


def test_somebody_elses_database_is_not_touched(tmp_path):
    path = tmp_path / "mine.sqlite"
    sqlite3.connect(path).executescript("CREATE TABLE notes (x); INSERT INTO notes VALUES (1)")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="no verdict store"):
        VerdictStore(path)
    assert path.read_bytes() == before


def test_a_store_that_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(UsageError, match="not a file"):
            VerdictStore(path)


def test_a_locked_store_says_so(tmp_path, capsys):
    path = tmp_path / "s.sqlite"
    with VerdictStore(path, patience=0.02) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RunFailed, match=r"s\.sqlite: .*locked.*another process holds it"):
            store.put(ANSWERS.items())
        assert "another process holds the verdict store; waiting" in capsys.readouterr().err
        other.execute("COMMIT")
        store.put(ANSWERS.items())
        assert store.get(list(ANSWERS)) == ANSWERS
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UsageError, match=r"s\.sqlite: .*locked.*another --store"):
        VerdictStore(path, patience=0.02)
    other.close()


def test_a_store_damaged_in_its_pages_is_named_with_the_cure(tmp_path):
    path = tmp_path / "s.sqlite"
    with VerdictStore(path) as store:
        store.put((str(i).encode(), ANSWERS[b"a"]) for i in range(2000))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises((UsageError, RunFailed), match=r"s\.sqlite: .*move it away"), VerdictStore(path) as store:
        store.get([str(i).encode() for i in range(2000)])
