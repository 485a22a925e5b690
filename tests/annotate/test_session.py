import json

import pytest

from rlaif.annotate.session import probability
from rlaif.errors import UsageError
from tests.annotate.conftest import CONSTITUTION


def test_every_answer_is_on_the_disk_and_the_next_is_shown(session, run):
    one = session()
    for key, given in (("1", "response_1"), ("2", "response_2"), ("t", "tie"), ("s", "skip")):
        number = one.current
        first, second = one.shown(number)
        one.answer(number, key)
        line = json.loads((run / "annotations.jsonl").read_text().split("\n")[-2])
        assert line["answer"] == given and line["annotator"] == "annotator" and line["choose"] == "random"
        assert (line["response_1"], line["response_2"]) == (list(first), list(second))
    assert one.current == 4 and session().current == 4 and session().answered == one.answered


def test_undo_shows_the_question_again_also_after_a_restart(session):
    one = session()
    one.answer(0, "1")
    one.answer(1, "s")
    again = session()
    again.undo()
    assert again.current == 1 and session().current == 1
    again.undo()
    again.undo()
    assert again.current == 0


@pytest.mark.parametrize(("number", "key"), [(3, "1"), (None, "1"), (7, "1"), ("0", "1"), (0, "9"), (0, "")])
def test_only_the_current_question_is_answered(session, run, number, key):
    one = session()
    with pytest.raises(UsageError, match="already" if key == "1" else "expected one of"):
        one.answer(number, key)
    assert not (run / "annotations.jsonl").exists()


def test_the_pairs_are_blind(session):
    """Which response stands first is drawn; nothing that is sent says whom the critic prefers."""
    one = session(by="principle")
    first = [one.shown(number)[0] == task.record.chosen for number, task in enumerate(one.tasks) if task.question == "polite"]
    assert 0 < sum(first) < len(first)
    other = session(annotator="ben")
    assert [one.shown(3 * number) for number in range(12)] != [other.shown(number) for number in range(12)]
    sent = {"annotator", "done", "total", "words", "number", "prompt", "first", "second", "question", "principle"}
    assert set(one.state()) == sent
    assert one.state()["principle"] == CONSTITUTION["principles"][0]["text"] and session().state()["principle"] is None


def test_several_annotators_answer_the_same_pairs_each_for_themselves(session):
    one, other = session(annotator="anna"), session(annotator="ben")
    assert one.tasks == other.tasks
    one.answer(0, "1")
    assert session(annotator="ben").current == 0


def test_the_words_tell_the_width_and_not_the_agreement(session):
    """Who always agrees with the critic, and who never does, read the same words."""
    words = []
    for annotator, agrees in (("yes", True), ("no", False)):
        one = session(annotator=annotator)
        for number, task in enumerate(one.tasks):
            wanted = task.record.chosen if (probability(task) > 0.5) == agrees else task.record.rejected
            one.answer(number, "1" if one.shown(number)[0] == wanted else "2")
        words.append(one.words())
    assert words[0] == words[1] and words[0].startswith("12 answers tell how often the critic agrees to within ±12 points; ")
    assert session(annotator="nobody").words().startswith("0 answers")
    assert one.current is None and one.state()["number"] is None
