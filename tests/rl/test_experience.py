import math
from statistics import fmean, pstdev, stdev

import pytest
import torch

from rlaif.rl.batch import collate
from rlaif.rl.experience import Views, estimate

SCORES = [0.5, -1.0, 2.0, 0.0]


@pytest.fixture
def seen(made_up):
    """Four rollouts to two prompts and what networks might say of them."""
    batch = collate(made_up(4, seed=3), 0)
    assert batch.ended.tolist() != [True] * 4
    generator = torch.Generator().manual_seed(1)
    draw = lambda: torch.rand(batch.mask.shape, generator=generator).where(batch.mask, torch.zeros(()))  # noqa: E731
    return batch, Views(-draw(), -draw(), draw(), draw())


def responses(values, batch):
    return [row[mask].tolist() for row, mask in zip(values, batch.mask, strict=True)]


def by_hand(batch, views, beta, gamma, lam, whiten_rewards, whiten_advantages, penalty=None):
    """PPO's pipeline of Ziegler et al., a token at a time."""
    rewards = []
    for score, ended, logp, reference in zip(
        SCORES, batch.ended.tolist(), responses(views.logp, batch), responses(views.reference, batch), strict=True
    ):
        row = [-beta * (ours - theirs) for ours, theirs in zip(logp, reference, strict=True)]
        row[-1] += score if ended or penalty is None else -penalty
        rewards.append(row)
    if whiten_rewards:
        flat = [each for row in rewards for each in row]
        mean, std = fmean(flat), pstdev(flat)
        rewards = [[(each - mean) / std + mean for each in row] for row in rewards]
    advantages, returns = [], []
    for row, values in zip(rewards, responses(views.values, batch), strict=True):
        found, after, value_after = [], 0.0, 0.0
        for reward, value in zip(reversed(row), reversed(values), strict=True):
            after = reward + gamma * value_after - value + gamma * lam * after
            value_after = value
            found.insert(0, after)
        advantages.append(found)
        returns.append([one + value for one, value in zip(found, values, strict=True)])
    if whiten_advantages:
        flat = [each for row in advantages for each in row]
        advantages = [[(each - fmean(flat)) / pstdev(flat) for each in row] for row in advantages]
    return advantages, returns


@pytest.mark.parametrize("whiten_rewards", [False, True])
@pytest.mark.parametrize("whiten_advantages", [False, True])
@pytest.mark.parametrize("penalty", [None, 3.0])
def test_ppos_order_of_things(configured, seen, whiten_rewards, whiten_advantages, penalty):
    batch, views = seen
    settings = {"gamma": 0.9, "lam": 0.8, "whiten_rewards": whiten_rewards, "whiten_advantages": whiten_advantages}
    found = estimate(configured("ppo", eos_penalty=penalty, **settings), batch, views, torch.tensor(SCORES), 0.1)
    advantages, returns = by_hand(batch, views, 0.1, penalty=penalty, **settings)
    for ours, theirs in ((found.advantages, advantages), (found.returns, returns)):
        for row, expected in zip(responses(ours, batch), theirs, strict=True):
            assert row == pytest.approx(expected, abs=1e-5)


def test_a_penalty_that_is_subtracted_leaves_the_score_its_say(configured, seen):
    batch, views = seen
    plain, less = (
        estimate(configured("rloo", eos_penalty=penalty, eos_mode="subtract"), batch, views, torch.tensor(scores), 0.1)
        for penalty, scores in (
            (3.0, SCORES),
            (0.0, [score - 3.0 * (not ended) for score, ended in zip(SCORES, batch.ended, strict=True)]),
        )
    )
    torch.testing.assert_close(plain.advantages, less.advantages)


@pytest.mark.parametrize("method", ["rloo", "grpo"])
@pytest.mark.parametrize("place", ["reward", "loss"])
def test_a_response_is_measured_against_the_prompts_others(configured, seen, method, place):
    batch, views = seen
    kl = [
        sum(ours - theirs for ours, theirs in zip(*row, strict=True))
        for row in zip(responses(views.logp, batch), responses(views.reference, batch), strict=True)
    ]
    totals = [score - 0.1 * each for score, each in zip(SCORES, kl, strict=True)] if place == "reward" else SCORES
    estimator = {"kl_in": place, "kl": "k1"} if place == "reward" else {"kl_in": place, "kl": "k3"}
    found = estimate(configured(method, **estimator), batch, views, torch.tensor(SCORES), 0.1)
    for row, advantages in enumerate(responses(found.advantages, batch)):
        pair = totals[row // 2 * 2 : row // 2 * 2 + 2]
        other = totals[row ^ 1]
        expected = totals[row] - other if method == "rloo" else (totals[row] - fmean(pair)) / (stdev(pair) + 1e-4)
        assert advantages == pytest.approx([expected] * len(advantages), abs=1e-4)
    assert not found.returns.any() and not found.advantages[~batch.mask].any()


def test_taking_rows_takes_them_from_everything(configured, seen):
    batch, views = seen
    whole = estimate(configured("ppo"), batch, views, torch.tensor(SCORES), 0.1)
    part = whole.take(torch.tensor([2, 0]))
    width = part.batch.mask.shape[1]
    assert width == max(int(batch.mask[row].sum()) for row in (2, 0))
    for ours, theirs in ((part.advantages, whole.advantages), (part.weights, whole.weights), (part.views.values, views.values)):
        assert torch.equal(ours, theirs[[2, 0], :width])
    assert not math.isnan(part.returns.sum())


def test_tokens_that_sampler_and_trainer_see_otherwise_are_masked(configured, seen):
    batch, views = seen
    ratios = (views.logp - batch.sampled).exp()
    assert ((ratios > 2) & batch.mask).any()  # what was made up is far from any policy
    masked = estimate(configured("rloo", importance="mask"), batch, views, torch.tensor(SCORES), 0.0).weights
    inside = batch.mask & (ratios >= 0.5) & (ratios <= 2.0)
    torch.testing.assert_close(masked, torch.where(inside, ratios, torch.zeros(())))
    banded = estimate(configured("rloo", importance_band=(0.9, 1.1)), batch, views, torch.tensor(SCORES), 0.0).weights
    for row, mask in enumerate(batch.mask):
        mean = math.exp(fmean((views.logp - batch.sampled)[row][mask].tolist()))
        assert bool(banded[row].any()) == (0.9 <= mean <= 1.1)
    cut = estimate(configured("rloo", importance="sequence-truncate"), batch, views, torch.tensor(SCORES), 0.0).weights
    for row, mask in enumerate(batch.mask):
        product = math.exp(sum((views.logp - batch.sampled)[row][mask].tolist()))
        assert cut[row][mask].tolist() == pytest.approx([min(product, 2.0)] * int(mask.sum()), rel=1e-4)


def test_lengths_count_in_the_scores(configured, seen):
    """Rewards of the sequences alone, as ``rloo`` takes them: the advantages say what was added."""
    batch, views = seen
    given = {"beta": 0.0, "importance_cap": 0.0, "max_tokens": 7}
    plain = estimate(configured("rloo", **given), batch, views, torch.tensor(SCORES), 0.0).advantages[:, 0]
    lengths = batch.mask.sum(-1).tolist()
    for options, extra in (
        ({"overlong": 6}, [min(0.0, max(-1.0, (7 - 6 - length) / 6)) for length in lengths]),
        (
            {"length_weight": 0.5},
            [0.5 * (lengths[row ^ 1] - lengths[row]) / (2 * abs(lengths[row ^ 1] - lengths[row]) or 1) for row in range(4)],
        ),
    ):
        found = estimate(configured("rloo", **given, **options), batch, views, torch.tensor(SCORES), 0.0).advantages[:, 0]
        wanted = [before + extra[row] - extra[row ^ 1] for row, before in enumerate(plain.tolist())]
        assert found.tolist() == pytest.approx(wanted, abs=1e-5) and found.tolist() != plain.tolist()


def test_tokens_of_low_entropy_have_no_weight(configured, seen):
    batch, views = seen
    weights = estimate(configured("rloo", importance_cap=0.0, top_entropy=0.3), batch, views, torch.tensor(SCORES), 0.0).weights
    inside = views.entropy[weights > 0]
    assert len(inside) == round(0.3 * int(batch.mask.sum())) and inside.min() > views.entropy[batch.mask & (weights == 0)].max()
