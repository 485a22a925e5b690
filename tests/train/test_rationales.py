"""Rationales for a critic that reasons: which are kept, and what of them is learnt. Rules write and judge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlaif.cost import critic_cost
from rlaif.engines.scripted import ScriptedEngine
from rlaif.errors import RunFailed, UsageError
from rlaif.settings import configure
from rlaif.train.feedback import GeneratedConfig, generated_configuration
from rlaif.train.generate import run_generated
from tests.tiny import save_model

CONSTITUTION = "name: one\nversion: 1\nprinciples:\n  - {id: kind, text: The response is kind.}\n"
RULES = """\
rules:
  - {when: "silent", fail: refused}
  - {when: "mute.*\\n(?s:.*)Which response", choose: {A: 0.01, B: 0.01}}
  - {when: "(?s)A is kind\\\\..*Which response", choose: {A: 0.7, B: 0.2}}
  - {when: "(?s)B is kind\\\\..*Which response", choose: {A: 0.2, B: 0.7}}
  - {when: "blind", generate: A is kind.}
  - {when: "(?s)<response_a>\\\\s*Kind", generate: A is kind.}
  - {when: "", generate: B is kind.}
"""
"""By position where the prompt is ``blind``; in every other pair the kind response is found. Of ``mute`` there is no label."""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "one.yaml").write_text(CONSTITUTION)
    (tmp_path / "rules.yaml").write_text(RULES)
    save_model(tmp_path / "model", max_position_embeddings=1024)

    def config(prompts=("hello", "blind", "hello again"), **options) -> GeneratedConfig:
        rows = [{"id": prompt, "prompt": prompt, "chosen": "Kind words.", "rejected": "Rude words."} for prompt in prompts]
        (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        given = {
            "source": str(tmp_path / "pairs.jsonl"),
            "model": str(tmp_path / "model"),
            "critic": f"script:{tmp_path / 'rules.yaml'}",
            "out": tmp_path / "run",
            "constitution": tmp_path / "one.yaml",
            "store": tmp_path / "store.sqlite",
            "reasons": True,
            "reasons_tokens": 16,
            "max_steps": 1,
        }
        return configure(generated_configuration(), **{**given, **options})

    return config


def lines(config, name):
    path = config.train.out.with_name("run-reasons") / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_what_leads_to_the_known_label_is_kept_in_either_order(project):
    """Of the blind pair the critic says A in both orders, and is right where the better response is A."""
    config = project()
    run = run_generated(config)
    found = {
        row["id"]: {(each["swapped"], each["text"]) for each in row["rationales"]} for row in lines(config, "rationales.jsonl")
    }
    both = {(False, "A is kind."), (True, "B is kind.")}
    assert found == {"hello": both, "blind": {(False, "A is kind.")}, "hello again": both}
    assert run["labelled_by"]["rationales"] == {
        "questions": 3, "agreement": 2, "written": 6, "failed": 0, "right": 5, "kept": 5, "unverified": 0,
    }  # fmt: skip
    assert run["labelled_by"]["constitution"]["name"] == "one"
    assert run["data"]["used"] == 5 and (config.train.out / "model" / "config.json").is_file()


def test_a_pair_without_a_right_rationale_is_listed_and_left_out(project):
    """The label of the first pair is turned around, so that the critic is wrong in both orders."""
    config = project(("hello", "hello again"))
    source = Path(config.train.source)
    first, second = map(json.loads, source.read_text(encoding="utf-8").splitlines())
    turned = {**first, "chosen": first["rejected"], "rejected": first["chosen"]}
    source.write_text("".join(json.dumps(row) + "\n" for row in (turned, second)), encoding="utf-8")
    run = run_generated(config)
    assert (
        run["labelled_by"]["rationales"] | {"written": 4, "right": 2, "kept": 2, "unverified": 1}
        == run["labelled_by"]["rationales"]
    )
    assert run["data"]["used"] == 2
    (failure,) = lines(config, "failures.jsonl")
    assert (failure["id"], failure["principle"], failure["reason"]) == ("hello", "kind", "unverified")
    assert "none of 2 rationales" in failure["detail"]


def test_what_has_no_verdict_is_listed_with_its_own_reason(project):
    config = project(("hello", "silent", "mute\nhello"), max_failure_rate=0.9)
    run_generated(config)
    assert {entry["id"]: entry["reason"] for entry in lines(config, "failures.jsonl")} == {
        "silent": "refused",
        "mute\nhello": "label_mass_low",
    }


def test_too_many_without_a_verdict_stop_it(project, tmp_path):
    with pytest.raises(RunFailed, match=r"2 of 4 rationales have no verdict.*refused"):
        run_generated(project(("hello", "silent")))
    assert not (tmp_path / "run").exists()


def test_a_critic_that_is_never_right_teaches_nothing_and_says_why(project, tmp_path):
    (tmp_path / "rules.yaml").write_text(
        RULES.replace("A: 0.7, B: 0.2", "A: 0.4, B: 0.4").replace("A: 0.2, B: 0.7", "A: 0.4, B: 0.4")
    )
    with pytest.raises(RunFailed, match="none of 6 rationales led to the known label"):
        run_generated(project())
    assert not (tmp_path / "run" / "model").exists()


def test_votes_are_asked_and_the_same_words_are_learnt_once(project):
    config = project(votes=3)
    run_generated(config)
    assert [len(row["rationales"]) for row in lines(config, "rationales.jsonl")] == [2, 1, 2]
    found = json.loads((config.train.out.with_name("run-reasons") / "run.json").read_text())["rationales"]
    assert (found["written"], found["right"], found["kept"]) == (18, 15, 5)


def test_again_asks_nothing_and_other_rows_are_refused(project, monkeypatch):
    first = run_generated(project())

    async def asked(*given, **more):
        raise AssertionError("asked again")

    for call in ("generate", "choose"):
        monkeypatch.setattr(ScriptedEngine, call, asked)
    assert run_generated(project())["metrics"] == first["metrics"]
    with pytest.raises(UsageError, match="other rows"):
        run_generated(project(("hello",)))


def test_the_label_run_of_the_same_critic_has_asked_all_that_is_asked(project, tmp_path, monkeypatch):
    """Its verdicts, with reasons, are in the store: teaching by the run that they made asks nothing."""
    from rlaif.label.config import LabelConfig
    from rlaif.label.run import run_label

    config = project()
    asked = {name: getattr(config.critic, name) for name in ("constitution", "store", "reasons", "reasons_tokens")}
    label = configure(LabelConfig, source=config.train.source, critic=config.critic.models, out=tmp_path / "labelled", **asked)
    run_label(label)
    written = []
    generate = ScriptedEngine.generate

    async def counted(self, prompts, sampling):
        written.extend(prompts)
        return await generate(self, prompts, sampling)

    monkeypatch.setattr(ScriptedEngine, "generate", counted)
    run = run_generated(project(source=str(tmp_path / "labelled")))
    assert not written and run["labelled_by"]["rationales"]["right"] >= 4


def test_what_it_would_cost_is_counted(project):
    assert critic_cost(project(votes=2)).calls == 3 * 2 * 2 * 2  # pairs, orders, votes; reasons and labels


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"orders": "ab"}, "--orders ab"),
        ({"mode": "score"}, "--reasons needs --mode compare"),
        ({"consistency": 0.5}, "--consistency sees both orders"),
        ({"thinking": 8}, "--thinking needs no --reasons"),
        ({"reasons_tokens": 1024}, "no room for a question"),
    ],
)
def test_settings_that_do_not_go_with_it_are_refused(project, options, said):
    with pytest.raises(UsageError, match=said):
        run_generated(project(**options))


def test_its_settings_are_refused_without_it(project):
    with pytest.raises(UsageError, match=r"--votes: .*give --generate or --reasons"):
        project(reasons=False).check(["votes", "model"])
    with pytest.raises(UsageError, match=r"--policy: .*give --generate too"):
        project().check(["policy", "votes"])
    project().check(["votes", "critic", "critic_context", "reasons"])
