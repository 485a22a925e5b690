"""Advantages against sums written out, and what must not matter: masks, missing samples, the order of groups."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.rl.maths.advantages import comparable, gae, group_normalised, leave_one_out, length_weighted, rewards_to_go, whiten
from tests.reference import rl as oracle

fast = settings(deadline=None, max_examples=60)
number = st.floats(-3, 3, width=32)
token = st.tuples(number, number)
responses = st.lists(st.lists(token, max_size=6), min_size=1, max_size=4)
samples = st.lists(st.tuples(number, st.integers(0, 3), st.booleans()), min_size=1, max_size=12)
GARBAGE = [math.nan, math.inf, -math.inf, 1e30]
WITHIN_GROUPS = {
    "opo": lambda scores, groups, valid: length_weighted(scores, torch.ones_like(scores), groups, valid),
    "rloo": leave_one_out,
    "grpo": group_normalised,
    "dr. grpo": lambda scores, groups, valid: group_normalised(scores, groups, valid, std=False),
}


def padded(rows, pad):
    """[B, T] with ``pad`` behind each row, and its mask; one column more than the longest row, so that there is padding."""
    width = max(map(len, rows)) + 1
    mask = torch.tensor([[True] * len(row) + [False] * (width - len(row)) for row in rows])
    return torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], dtype=torch.float32), mask


def batch(drawn, missing=math.nan):
    scores, groups, valid = (torch.tensor(column) for column in zip(*drawn, strict=True))
    return torch.where(valid, scores, missing), groups, valid


@fast
@given(responses, st.floats(0.5, 1), st.floats(0, 1), st.sampled_from(GARBAGE))
def test_gae_is_the_discounted_sum_of_errors_and_padding_is_never_read(rows, gamma, lam, pad):
    rewards, mask = padded([[r for r, _ in row] for row in rows], pad)
    values, _ = padded([[v for _, v in row] for row in rows], pad)
    advantages, returns = gae(rewards, values, mask, gamma, lam)
    to_go = rewards_to_go(rewards, mask, gamma)
    for b, row in enumerate(rows):
        for t in range(mask.shape[1]):
            wanted, total, value = 0.0, 0.0, 0.0
            if t < len(row):
                wanted = oracle.advantage([r for r, _ in row], [v for _, v in row], gamma, lam, t)
                total, value = oracle.discounted([r for r, _ in row], gamma, t), row[t][1]
            assert advantages[b, t].item() == pytest.approx(wanted, abs=1e-4)
            assert returns[b, t].item() == pytest.approx(wanted + value, abs=1e-4)
            assert to_go[b, t].item() == pytest.approx(total, abs=1e-4)


@fast
@given(responses)
def test_with_lambda_one_the_advantage_is_reinforces_and_the_return_is_the_reward_to_go(rows):
    rewards, mask = padded([[r for r, _ in row] for row in rows], 0.0)
    values, _ = padded([[v for _, v in row] for row in rows], 0.0)
    advantages, returns = gae(rewards, values, mask, gamma=1.0, lam=1.0)
    to_go = rewards_to_go(rewards, mask)
    torch.testing.assert_close(returns, to_go)
    torch.testing.assert_close(advantages, (to_go - values).masked_fill(~mask, 0.0))


def test_nothing_passes_over_a_gap_in_the_mask_but_the_next_token_itself():
    """Tokens between two parts of a response (a tool's answer, say) take no time."""
    whole = gae(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 0.25]]), torch.tensor([[True, True]]), 0.9, 0.8)
    mask = torch.tensor([[True, False, True]])
    parted = gae(torch.tensor([[1.0, math.nan, 2.0]]), torch.tensor([[0.5, math.nan, 0.25]]), mask, 0.9, 0.8)
    for one, other in zip(whole, parted, strict=True):
        assert other[mask].tolist() == one[0].tolist()


def test_nothing_carries_a_gradient():
    values, mask = torch.ones(2, 3, requires_grad=True), torch.ones(2, 3, dtype=torch.bool)
    scores, one = torch.ones(2, requires_grad=True), torch.ones(2, dtype=torch.bool)
    results = [*gae(values, values, mask), rewards_to_go(values, mask), whiten(values, mask)]
    results += [leave_one_out(scores, torch.zeros(2), one), group_normalised(scores, torch.zeros(2), one)]
    assert not any(result.requires_grad for result in results)


@fast
@given(samples)
def test_within_a_group_the_baseline_is_what_the_paper_says(drawn):
    scores, groups, valid = batch(drawn)
    found = {name: function(scores, groups, valid).tolist() for name, function in WITHIN_GROUPS.items()}
    alone = comparable(groups, valid).logical_not().tolist()
    for i, (score, group, is_valid) in enumerate(drawn):
        peers = [j for j, (_, other, known) in enumerate(drawn) if other == group and known]
        known = [drawn[j][0] for j in peers]
        assert alone[i] == (not is_valid or len(known) < 2)
        if alone[i]:
            assert all(values[i] == 0 for values in found.values())
            continue
        place = peers.index(i)
        assert found["rloo"][i] == pytest.approx(score - oracle.others_mean(known, place), abs=1e-5)
        assert found["dr. grpo"][i] == pytest.approx(score - sum(known) / len(known), abs=1e-5)
        assert found["grpo"][i] == pytest.approx(oracle.z_score(known, place, 1e-4), abs=1e-3)


@fast
@given(samples)
def test_rloo_is_dr_grpo_scaled_by_the_size_of_the_group(drawn):
    scores, groups, valid = batch(drawn)
    size = torch.tensor([float(sum(other == group and known for _, other, known in drawn)) for _, group, _ in drawn])
    scaled = WITHIN_GROUPS["dr. grpo"](scores, groups, valid) * size / (size - 1).clamp(min=1)
    torch.testing.assert_close(leave_one_out(scores, groups, valid), scaled, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", WITHIN_GROUPS)
@fast
@given(drawn=samples, missing=st.sampled_from(GARBAGE))
def test_missing_samples_change_nothing_for_the_others(name, drawn, missing):
    scores, groups, valid = batch(drawn, missing)
    with_them = WITHIN_GROUPS[name](scores, groups, valid)
    without = WITHIN_GROUPS[name](scores[valid], groups[valid], valid[valid])
    torch.testing.assert_close(with_them[valid], without)
    assert not with_them[~valid].any()


@pytest.mark.parametrize("name", WITHIN_GROUPS)
@fast
@given(drawn=samples, order=st.randoms(use_true_random=False), shift=st.integers(-9, 9))
def test_the_order_of_samples_and_the_names_of_groups_do_not_matter(name, drawn, order, shift):
    places = list(range(len(drawn)))
    order.shuffle(places)
    scores, groups, valid = batch(drawn)
    moved = WITHIN_GROUPS[name](scores[places], shift - 5 * groups[places], valid[places])
    torch.testing.assert_close(moved, WITHIN_GROUPS[name](scores, groups, valid)[places], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", WITHIN_GROUPS)
def test_samples_that_score_alike_have_no_advantage(name):
    alike = torch.full((8,), 0.1)
    found = WITHIN_GROUPS[name](alike, torch.zeros(8, dtype=torch.long), torch.ones(8, dtype=torch.bool))
    assert found.abs().max() < 1e-3


def test_a_large_offset_of_all_rewards_does_not_swamp_leave_one_out():
    scores = torch.tensor([0.0, 1.0, 2.0, 3.0]) + 2.0**20
    found = leave_one_out(scores, torch.zeros(4, dtype=torch.long), torch.ones(4, dtype=torch.bool))
    assert found.tolist() == pytest.approx([-2.0, -2 / 3, 2 / 3, 2.0], abs=1e-6)


def test_whitening_is_the_published_example():
    x = torch.tensor([[1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0]])
    mask = torch.ones_like(x, dtype=torch.bool)
    kept = [0.0508, 0.4381, 0.8254, 1.2127, 1.6000, 1.9873, 2.3746, 2.7619, 3.1492]
    assert whiten(x, mask, shift_mean=False)[0].tolist() == pytest.approx(kept, abs=5e-5)
    assert whiten(x, mask)[0].tolist() == pytest.approx([value - 1.6 for value in kept], abs=5e-5)


@fast
@given(responses.filter(lambda rows: sum(map(len, rows)) > 1), st.booleans(), st.sampled_from(GARBAGE))
def test_whitening_of_a_padded_batch_is_that_of_its_tokens(rows, shift_mean, pad):
    x, mask = padded([[r for r, _ in row] for row in rows], pad)
    found = whiten(x, mask, shift_mean)
    flat = x[mask]
    torch.testing.assert_close(
        found[mask], whiten(flat, torch.ones_like(flat, dtype=torch.bool), shift_mean), rtol=1e-3, atol=1e-3
    )
    assert not found[~mask].any()


@pytest.mark.parametrize("shift_mean", [True, False])
def test_whitening_of_nothing_and_of_equal_values_is_finite(shift_mean):
    x = torch.full((2, 2), 7.0)
    assert not whiten(x, torch.zeros(2, 2, dtype=torch.bool), shift_mean).any()
    assert whiten(x, torch.ones(2, 2, dtype=torch.bool), shift_mean).tolist() == [[0.0 if shift_mean else 7.0] * 2] * 2
