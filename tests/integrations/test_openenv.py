"""OpenEnv's own rubrics; run by ``make test-integrations`` in an environment of its own."""

import asyncio

import pytest

pytest.importorskip("openenv.core.rubrics.base")
from openenv.core.rubrics.containers import WeightedSum

import rlaif
from rlaif.integrations.openenv import ConstitutionRubric

SCRIPT = """
rules:
  - {when: "mumble", fail: refused}
  - {when: "sunshine", choose: {"9": 0.8}}
  - {choose: {"1": 0.8}}
"""


@pytest.fixture
def rubric(tmp_path):
    (tmp_path / "c.yaml").write_text("{name: t, version: 1, principles: [{id: kind, text: Kind.}]}")
    (tmp_path / "s.yaml").write_text(SCRIPT)
    named = {"constitution": str(tmp_path / "c.yaml"), "critic": f"script:{tmp_path / 's.yaml'}"}
    made = ConstitutionRubric(
        lambda action, seen: (seen["prompt"], action["message"]),
        **named,
        store=str(tmp_path / "v.sqlite"),
        max_failure_rate=1.0,
    )
    yield made
    made.close()


def step(rubric, message):
    return asyncio.run(rubric({"message": message}, {"prompt": "Hi"}))


def test_a_step_has_the_critics_score_and_a_failed_verdict_is_an_error(rubric):
    seen = []
    rubric.register_forward_hook(lambda *call: seen.append(call[-1]))
    assert step(rubric, "sunshine") == pytest.approx(1.0, abs=0.01) == rubric.last_score
    assert step(rubric, "bad") == pytest.approx(-1.0, abs=0.01)
    with pytest.raises(rlaif.RunFailed, match="no verdict on the step"):
        step(rubric, "mumble")
    assert len(seen) == 2 and rubric.last.values == [None]


def test_it_is_a_part_of_openenvs_own_sums(rubric):
    async def go():
        return await WeightedSum([rubric, rubric], [0.5, 0.5])({"message": "sunshine"}, {"prompt": "Hi"})

    assert asyncio.run(go()) == pytest.approx(1.0, abs=0.01)
