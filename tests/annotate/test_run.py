"""From a run's folder to a session, and from its answers to gold."""

import socket

import pytest

from rlaif.annotate.config import AnnotateConfig
from rlaif.annotate.run import conclude, open_session, serve
from rlaif.errors import UsageError
from rlaif.settings import configure


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"by": "rude"}, "--by rude.*expected overall, principle, polite, harmless, concise"),
        ({"annotator": " "}, "--annotator"),
    ],
)
def test_what_cannot_be_asked_is_said(session, settings, said):
    with pytest.raises(UsageError, match=said):
        session(**settings)


def test_the_runs_own_files_are_not_written_to(session, run):
    with pytest.raises(UsageError, match="would replace the input"):
        session(out=run / "preferences.jsonl")


def test_what_all_annotators_say_is_concluded(session, run):
    for annotator, keys in (("anna", "121"), ("ben", "12"), ("carl", "s")):
        one = session(annotator=annotator)
        for key in keys:
            one.answer(one.current, key)
    outcome = conclude(configure(AnnotateConfig, run=run), one)
    assert (outcome.answered, outcome.total, outcome.pairs) == (1, 12, 3)
    assert [(both.first, both.second, both.questions) for both in outcome.both] == [("anna", "ben", 2)]
    assert -1 <= outcome.alpha <= 1 and len((run / "annotations-gold.jsonl").read_text().split("\n")) == 4


def test_a_port_that_is_taken_is_said(run):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        config = configure(AnnotateConfig, run=run, port=port)
        with pytest.raises(UsageError, match=f"--port {port}: cannot be listened on"):
            serve(config, open_session(config), print)
