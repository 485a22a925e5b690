"""verifiers itself, its own loader and scoring; run by ``make test-integrations`` in an environment of its own."""

import asyncio
import json

import pytest

vf = pytest.importorskip("verifiers.v1")
SCRIPT = """
rules:
  - {when: "mumble", fail: refused}
  - {when: "(?s)Be brief.*Hi.*sunshine", choose: {"9": 0.8}}
  - {choose: {"1": 0.8}}
"""


@pytest.fixture
def task(tmp_path):
    """A task of verifiers whose reward is plugged in from a file, as a user's configuration does."""
    (tmp_path / "c.yaml").write_text("{name: t, version: 1, principles: [{id: kind, text: Kind.}]}")
    (tmp_path / "s.yaml").write_text(SCRIPT)
    given = {"constitution": str(tmp_path / "c.yaml"), "critic": f"script:{tmp_path / 's.yaml'}"}
    given |= {"store": str(tmp_path / "v.sqlite"), "max_failure_rate": 1.0}
    source = f"from rlaif.integrations.verifiers import reward\n\nconstitution = reward(**{json.dumps(given)})\n"
    (tmp_path / "judge.py").write_text(source)
    config = vf.TaskConfig.model_validate({"rewards": {"constitution": {"fn": f"{tmp_path / 'judge.py'}:constitution"}}})

    from verifiers.v1 import TaskData

    class Data(TaskData):
        tags: tuple[str, ...] = ()

    return vf.Task(Data(prompt="Hi", system_prompt="Be brief.", tags=("risky",)), config)


def scored(task, reply):
    trace = vf.Trace(task=vf.TraceTask(type="Task", data=task.data), agent=vf.AgentInfo(config=vf.AgentConfig()))
    trace.root_reply = reply
    return trace, lambda: asyncio.run(task.score(trace))


def test_a_reply_has_the_critics_score_and_its_principles_as_metrics(task):
    for reply, value in (("sunshine", 1.0), ("bad", -1.0)):
        trace, score = scored(task, reply)
        score()
        assert trace.rewards["constitution"].score == pytest.approx(value, abs=0.01)
        assert trace.metrics["constitution/principles/kind"] == pytest.approx(value, abs=0.01)


def test_a_failed_verdict_is_an_error_of_the_rollout_and_no_number(task):
    trace, score = scored(task, "mumble")
    with pytest.raises(vf.TaskError, match="no verdict on the reply"):
        score()
    assert trace.rewards["constitution"] is None
