import asyncio
from pathlib import Path

import pytest
import torch

from rlaif.errors import UsageError
from rlaif.lab.gold import PRINCIPLES, gold
from rlaif.lab.world import rows
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.rewards.open import open_reward
from rlaif.settings import configure
from tests.rl.rewards.rollouts import rewarded, rollout

LAB = Path(__file__).parents[3] / "constitutions" / "lab.yaml"


def samples(n):
    """n prompts of the lab with two replies each, and their gold."""
    for group, row in enumerate(rows(n, seed=5)):
        for response in row["responses"]:
            yield rollout(response["text"], prompt=row["prompt"], group=group), response["gold"]


def test_the_labs_critic_rewards_what_gold_rewards():
    opened = open_reward(configure(RewardConfig, reward="critic", critic="lab", constitution=LAB))
    rollouts, golds = zip(*samples(24), strict=True)

    async def ask():
        rewards = await opened.source(rollouts)
        await opened.close()
        return rewards

    rewards = asyncio.run(ask())
    assert rewards.valid.all() and not rewards.failures
    for name in ("polite", "harmless", "evidence", "humble", "helpful"):
        truth = torch.tensor([found[name] for found in golds])
        assert torch.corrcoef(torch.stack([rewards.columns[f"principles/{name}"], truth]))[0, 1] > 0.9, name
    assert opened.facts["feedback"] == "score" and opened.facts["critic"] == opened.source.critics[0].engine.identity


def test_gold_is_the_mean_of_the_gold_scores():
    rollouts, golds = zip(*samples(3), strict=True)
    rewards = rewarded(
        open_reward(configure(RewardConfig, reward="gold")).source, [*rollouts, rollout("x", prompt="Not of this world?")]
    )
    expected = [sum(found.values()) / len(PRINCIPLES) for found in golds]
    assert rewards.values[:-1].tolist() == pytest.approx(expected)
    assert rewards.columns["principles/polite"][0] == pytest.approx(
        gold(rollouts[0].query.row.conversation[0]["content"], rollouts[0].text)["polite"]
    )
    assert rewards.valid.tolist() == [True] * len(golds) + [False]


def test_a_mix_file_opens_its_sources_once(tmp_path):
    (tmp_path / "v.py").write_text("def length(row, response):\n    return float(len(response))\n")
    (tmp_path / "s.yaml").write_text('rules:\n  - {choose: {"9": 1.0}}\n')
    (tmp_path / "c.yaml").write_text("name: c\nversion: 1\nprinciples:\n  - {id: a, text: It is good.}\n")
    critic = f"{{kind: critic, critic: 'script:{tmp_path}/s.yaml', constitution: c.yaml"
    (tmp_path / "mix.yaml").write_text(
        f"sources:\n  - {{id: long, kind: verifier, verifier: 'v.py:length'}}\n"
        f"  - {critic}, id: one}}\n  - {critic}, id: other}}\n"
        "tasks: {t: {sources: [long], weight: 3}}\n"
    )
    opened = open_reward(configure(RewardConfig, reward=str(tmp_path / "mix.yaml")))
    rewards = rewarded(opened.source, [rollout("four"), rollout("four", group=1, task="t")])
    assert rewards.values.tolist() == [2.0, 4.0]
    assert rewards.columns["sources/one/principles/a"][0] == 1.0
    assert opened.task_weights == {"t": 3.0}
    assert [source["reward"] for source in opened.facts["sources"]] == ["verifier", "critic", "critic"]
    one, other = (part.source.critics[0].engine for part in opened.source.parts[1:])
    assert one is other


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (configure(RewardConfig), "--reward critic needs --critic"),
        (configure(RewardConfig, critic="lab"), "--reward critic needs --constitution"),
        (configure(RewardConfig, reward="model"), "--reward model needs --reward-model"),
        (configure(RewardConfig, reward="verifier"), "--reward verifier needs --verifier"),
        (
            configure(RewardConfig, reward="crtic"),
            "--reward crtic: no such reward source; expected one of critic, model",
        ),
        (configure(RewardConfig, critic="lab", constitution=LAB, feedback="reference"), "no policy here to compare with"),
    ],
)
def test_what_is_missing_is_named(config, said):
    with pytest.raises(UsageError, match=said):
        open_reward(config)
