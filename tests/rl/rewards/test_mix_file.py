import pytest

from rlaif.errors import UsageError
from rlaif.rl.rewards.mix_file import load_mix

GOOD = """
normalise: group
sources:
  - {id: manners, kind: critic, critic: lab, constitution: sub/c.yaml, feedback: group, opponents: 2, weight: 2}
  - {id: safety, kind: model, reward_model: "rm,org/hub", prediction: worst, weight: 0, gate: {below: -1, value: -5}}
  - {id: right, kind: verifier, verifier: "mine.py:check", options: {tolerance: 0.1, column: target}, optional: true}
  - {id: named, kind: verifier, verifier: "rlaif.rl.rewards.checks:exact"}
tasks:
  facts: {sources: [right, named], weight: 2}
  chat: {sources: [manners, safety]}
"""


def write(folder, text):
    (folder / "mix.yaml").write_text(text)
    return folder / "mix.yaml"


def test_a_mix_is_read_with_its_paths_beside_it(tmp_path):
    (tmp_path / "rm").mkdir()
    recipe = load_mix(write(tmp_path, GOOD))
    manners, safety, right, named = recipe.ingredients
    assert recipe.normalise and recipe.weights == {"facts": 2.0, "chat": 1.0}
    assert recipe.tasks == {"facts": {"right", "named"}, "chat": {"manners", "safety"}}
    assert (
        manners.config.critic.constitution == tmp_path / "sub/c.yaml" and manners.config.opponents == 2 and manners.weight == 2
    )
    assert safety.config.reward_model == f"{tmp_path / 'rm'},org/hub" and safety.gate == (-1.0, -5.0)
    assert right.config.verifier == f"{tmp_path / 'mine.py'}:check" and right.optional
    assert dict(right.config.options) == {"tolerance": 0.1, "column": "target"}
    assert named.config.verifier == "rlaif.rl.rewards.checks:exact"


def test_tasks_without_a_weight_come_as_often_as_their_rows(tmp_path):
    assert load_mix(write(tmp_path, "sources: [{id: a, kind: gold}]\ntasks: {t: {sources: [a]}}")).weights == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "mix.yaml:1:1: empty; a reward mix has at least sources"),
        ("sources: []", "mix.yaml:1:10: sources: found an empty list; allowed: a list that is not empty"),
        ("sources:\n  - {id: a, kind: modle}", "mix.yaml:2:19: sources[a].kind: found 'modle'; allowed: critic, model, "),
        ("sources:\n  - {id: a, kind: model}", "mix.yaml:2:5: sources[a].reward_model: missing; this key is required"),
        (
            "sources:\n  - {id: a, kind: gold, feedback: score}",
            "mix.yaml:2:25: sources[a].feedback: unknown key; allowed: id, kind, weight, optional, gate",
        ),
        ("sources:\n  - {id: a, kind: gold}\n  - {id: a, kind: gold}", "mix.yaml:3:10: sources[a].id: found 'a' again"),
        ("sources:\n  - {id: a, kind: gold, weight: 0}", "mix.yaml:1:1: sources: every weight is 0"),
        (
            "sources:\n  - {id: good, kind: gold}\ntasks: {t: {sources: [god]}}",
            "mix.yaml:3:23: tasks.t.sources[#1]: found 'god'; allowed: good; did you mean good?",
        ),
        (
            "sources:\n  - {id: a, kind: gold}\n  - {id: b, kind: gold, weight: 0}\ntasks: {t: {sources: [b]}}",
            "mix.yaml:4:9: tasks.t: every weight of its sources is 0",
        ),
        ("sources:\n  - {id: a, kind: gold, gate: {below: 1}}", "mix.yaml:2:31: sources[a].gate.value: missing"),
        ("sources: [1", "mix.yaml:1:12: not valid YAML"),
    ],
)
def test_problems_are_told_with_their_place(tmp_path, text, said):
    with pytest.raises(UsageError) as error:
        load_mix(write(tmp_path, text))
    assert said in str(error.value)


def test_all_problems_are_told_at_once(tmp_path):
    with pytest.raises(UsageError) as error:
        load_mix(write(tmp_path, "normalise: batch\nsources:\n  - {kind: gold}\nextra: 1\n"))
    assert [line.split(": ")[1] for line in str(error.value).splitlines()] == ["normalise", "sources[#1].id", "extra"]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        load_mix(tmp_path / "none.yaml")
