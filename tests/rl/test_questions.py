"""The judge's questions as prompts: the ids that an engine would be asked, in both orders, and what is left out."""

from __future__ import annotations

import json

import pytest

from rlaif.constitution.load import load_constitution
from rlaif.critic.judge import Judge
from rlaif.critic.templates import load_template
from rlaif.data.rows import Turn
from rlaif.engines.tokens import PromptEncoder
from rlaif.errors import UsageError
from rlaif.models.load import find_base
from rlaif.rl.prompts import hold_out, queries_of
from rlaif.rl.rewards.config import RewardConfig
from rlaif.settings import configure
from tests.tiny import save_model

TWO = """\
name: two
version: 1
principles:
  - {id: kind, text: The response is kind.}
  - {id: short, text: The response is short., when: {tags: [chat]}}
"""
PAIR = {"chosen": "Kind words.", "rejected": "Rude words."}
RULES = """\
rules:
  - {when: "[aeiou]{2}", choose: {A: 0.6, B: 0.3}}
  - {when: "", choose: {A: 0.3, B: 0.6}}
"""


@pytest.fixture
def base(tmp_path):
    return find_base(str(save_model(tmp_path / "model", max_position_embeddings=1024)), "causal", None, "float32", False)


@pytest.fixture
def asked(configured, tmp_path, base):
    """(queries, failures) of rows."""
    (tmp_path / "two.yaml").write_text(TWO)

    def call(rows, **options):
        path = tmp_path / "pairs.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        rewards = configure(RewardConfig, reward="verdict", constitution=tmp_path / "two.yaml")
        return queries_of(configured("grpo", source=str(path), model=base.source, rewards=rewards, **options), base)

    return call


def test_they_are_what_a_critic_is_asked_with_reasons(asked, base, tmp_path):
    ((query,), failures) = asked([{"id": "x", "prompt": "hello", **PAIR}])
    constitution, template = load_constitution(tmp_path / "two.yaml"), load_template("reasons")
    judge = Judge(constitution, template, "")
    user = (Turn(role="user", content="hello"),)
    responses = [(Turn(role="assistant", content=text),) for text in PAIR.values()]
    questions = judge.both_orders(constitution.principles[0], user, *responses).questions
    wanted = [tuple(PromptEncoder(base.tokenizer).encode(judge.prompt(question)).ids) for question in questions]
    assert [order.ids for order in query.orders] == wanted and wanted[0] != wanted[1]
    assert [order.swapped for order in query.orders] == [False, True] and query.turned().turned() == query
    assert (query.row.id, query.row.extra["principle"], query.row.extra["p_chosen"]) == ("x:kind", "kind", 1.0)
    assert not failures


def test_each_known_principle_is_a_question_and_ties_are_none(asked):
    verdicts = [{"id": "kind", "p": 0.8}, {"id": "short", "p": 0.3}]
    rows = [
        {"prompt": "one", **PAIR, "p_chosen": 0.6, "tags": ["chat"], "principles": verdicts},
        {"prompt": "two", **PAIR, "p_chosen": 0.5},
        {"prompt": "three", **PAIR, "tags": ["chat"]},
        {"prompt": "four"},
    ]
    queries, failures = asked(rows)
    assert [(query.row.number, query.row.extra["p_chosen"]) for query in queries] == [(1, 0.8), (2, 0.3)]
    assert [failure.row for failure in failures] == [2, 3, 4]
    assert "an exact tie" in failures[0].detail and "2 principles" in failures[1].detail
    with pytest.raises(UsageError, match="no pair of which it is known"):
        asked(rows[1:])


def test_a_conversation_is_held_out_with_all_its_principles(asked):
    verdicts = [{"id": "kind", "p": 0.8}, {"id": "short", "p": 0.3}]
    rows = [{"prompt": f"ask {n}", **PAIR, "p_chosen": 0.6, "tags": ["chat"], "principles": verdicts} for n in range(4)]
    training, held_out = hold_out(asked(rows)[0], 1, 0, "pairs")
    (one,) = held_out
    assert len(training) == 6 and all(query.row.conversation != one.row.conversation for query in training)


def test_a_run_rewards_both_orders(learn, tmp_path):
    """On the lab's policy, whose reasons are replies; a rule reads labels into them."""
    (tmp_path / "two.yaml").write_text(TWO)
    (tmp_path / "rules.yaml").write_text(RULES)
    rows = [{"prompt": f"How do I boil {n} eggs?", **PAIR} for n in range(6)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    critic = {"critic": f"script:{tmp_path / 'rules.yaml'}", "constitution": tmp_path / "two.yaml"}
    rewards = configure(RewardConfig, reward="verdict", store=tmp_path / "store.sqlite", **critic)
    run = learn("grpo", source=str(tmp_path / "pairs.jsonl"), rewards=rewards, steps=1, batch_size=2, eval_prompts=2)
    assert run["status"] == "finished" and run["data"]["used"] == 6 and run["reward"]["reward"] == "verdict"
    assert 0 <= run["metrics"]["heldout_reward"] <= run["metrics"]["heldout_reward/agreement"] <= 1
