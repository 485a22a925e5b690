"""A critic from a constitution alone: what is written, what of it holds, and what is learnt of it. Rules write and judge."""

from __future__ import annotations

import json

import pytest

from rlaif.cost import critic_cost
from rlaif.data.records import PreferenceRecord, PrincipleVerdict, RevisionRound
from rlaif.engines.scripted import ScriptedEngine
from rlaif.errors import RunFailed, UsageError
from rlaif.settings import configure
from rlaif.train.feedback import GeneratedConfig, generated_configuration
from rlaif.train.generate import held_pairs, run_generated
from tests.tiny import save_model

CONSTITUTION = """\
name: two
version: 1
principles:
  - {id: kind, text: The response is kind.}
  - {id: short, text: The response is short.}
"""
RULES = """\
rules:
  - {when: Write the response again, generate: A kind reply.}
  - {when: fall short, generate: It is rude.}
  - {when: "(?s)biased.*better", choose: {A: 0.9, B: 0.05}}
  - {when: "(?s)<response_a>\\\\s*A kind.*is kind", choose: {A: 0.8, B: 0.1}}
  - {when: "is kind", choose: {A: 0.1, B: 0.8}}
  - {when: "is short", choose: {A: 0.7, B: 0.2}}
  - {when: "", generate: A rude reply.}
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "two.yaml").write_text(CONSTITUTION)
    (tmp_path / "rules.yaml").write_text(RULES)
    prompts = ["hello", "biased", "how are you", "biased again", "world", "biased too", "not asked"]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    save_model(tmp_path / "model", max_position_embeddings=1024)

    def config(**options) -> GeneratedConfig:
        rules = f"script:{tmp_path / 'rules.yaml'}"
        given = {
            "source": str(tmp_path / "prompts.jsonl"),
            "model": str(tmp_path / "model"),
            "out": tmp_path / "run",
            "constitution": tmp_path / "two.yaml",
            "store": tmp_path / "store.sqlite",
            "generate": 6,
            "max_steps": 1,
        }
        return configure(generated_configuration(), **{**given, "policy": rules, "critic": rules, **options})

    return config


def kept(config):
    path = config.train.out.with_name("run-generated") / "revised" / "pairs.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_what_holds_in_both_orders_is_learnt_and_nothing_else(project):
    """By ``kind`` the critic finds the revision in either order, but for the biased prompts; by ``short`` it says A."""
    config = project()
    run = run_generated(config)
    pairs = kept(config)
    drawn = {pair["prompt"][0]["content"] for pair in pairs}
    assert drawn and drawn <= {"hello", "how are you", "world"}
    for pair in pairs:
        assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == ("A kind reply.", "A rude reply.")
        assert [(verdict["id"], verdict["p"]) for verdict in pair["principles"]] == [("kind", 1.0)]
    assert run["status"] == "finished" and run["data"]["used"] == len(pairs)
    assert run["labelled_by"]["constitution"]["name"] == "two"
    assert (config.train.out / "model" / "config.json").is_file()


def test_again_asks_nothing_and_learns_the_same(project, monkeypatch):
    first, pairs = run_generated(project()), kept(project())

    async def asked(*given, **more):
        raise AssertionError("asked again")

    for call in ("generate", "choose"):
        monkeypatch.setattr(ScriptedEngine, call, asked)
    assert run_generated(project())["metrics"] == first["metrics"]
    assert kept(project()) == pairs


def test_a_critic_that_follows_position_teaches_nothing_and_says_why(project, tmp_path):
    """The revision is better in the mean of both orders, and worse where it stands second."""
    (tmp_path / "rules.yaml").write_text(RULES.replace("A: 0.1, B: 0.8", "A: 0.5, B: 0.4"))
    with pytest.raises(RunFailed, match="does the critic say in both orders"):
        run_generated(project())
    assert not (tmp_path / "run" / "model").exists()


def record(principle, verdicts, chosen_index):
    return PreferenceRecord(
        id="1:0-1",
        prompt=({"role": "user", "content": "q"},),
        chosen=({"role": "assistant", "content": "a"},),
        rejected=({"role": "assistant", "content": "b"},),
        p_chosen=0.6,
        principles=tuple(PrincipleVerdict(id=name, p=p, gap=gap) for name, p, gap in verdicts),
        row=1,
        chosen_index=chosen_index,
        rejected_index=1 - chosen_index,
        extra={"rounds": [RevisionRound(principle=principle, critique="c", revision="r").to_dict()]},
    )


@pytest.mark.parametrize(
    ("chosen_index", "verdicts", "wanted"),
    [
        (0, [("kind", 0.7, 0.3), ("short", 0.4, -0.1)], {"kind": 1.0, "short": 0.4}),
        (0, [("kind", 0.7, 0.3), ("short", 0.4, 0.3)], {"kind": 1.0}),  # .55 and .25: two winners
        (0, [("kind", 0.6, -0.3), ("short", 0.4, 0.1)], None),
        (0, [("kind", 0.3, 0.1)], None),  # in both orders, and the wrong one
        (1, [("kind", 0.3, 0.1)], {"kind": 0.0}),  # the original is ``chosen`` by the other principles
        (1, [("kind", 0.8, 0.1)], None),
        (0, [("kind", None, None), ("short", 0.9, 0.0)], None),
        (0, [("kind", 0.5, 0.0)], None),
        (0, [("kind", 0.9, None)], None),
    ],
)
def test_a_pair_is_held_by_its_own_principle(tmp_path, chosen_index, verdicts, wanted):
    line = json.dumps(record("kind", verdicts, chosen_index).to_dict()) + "\n"
    (tmp_path / "preferences.jsonl").write_text(line if chosen_index == 0 else "")
    (tmp_path / "rejected.jsonl").write_text(line if chosen_index == 1 else "")
    found = [{verdict.id: verdict.p for verdict in pair.principles} for pair in held_pairs(tmp_path)]
    assert found == ([] if wanted is None else [wanted])


def test_without_it_the_source_is_what_is_learnt(project, tmp_path):
    row = {"prompt": "q", "chosen": "A kind reply.", "rejected": "no", "principles": [{"id": "kind", "p": 0.9}]}
    (tmp_path / "pairs.jsonl").write_text(json.dumps({**row, "p_chosen": 0.9}) + "\n")
    run = run_generated(project(source=str(tmp_path / "pairs.jsonl"), generate=None))
    assert run["data"]["used"] == 1 and not (tmp_path / "run-generated").exists()


def test_what_it_would_cost_is_counted(project):
    cost = critic_cost(project())
    assert (cost.prompts, cost.texts, cost.calls) == (6, 18, 24)  # two principles in both orders


@pytest.mark.parametrize(("options", "said"), [({"orders": "ab"}, "--orders ab"), ({"limit": 3}, "--limit")])
def test_settings_that_do_not_go_with_it_are_refused(project, options, said):
    with pytest.raises(UsageError, match=said):
        run_generated(project(**options))


def test_its_settings_are_refused_without_it(project):
    with pytest.raises(UsageError, match=r"--policy: .*give --generate too"):
        project(generate=None).check(["policy", "model"])
