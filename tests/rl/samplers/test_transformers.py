from dataclasses import replace

import pytest
import torch

from rlaif.rl.batch import collate
from rlaif.rl.samplers.transformers import TransformersSampler, _choose

TOKENS, END = 12, 7


@pytest.fixture
def policy(configured, networks):
    return networks(configured("rloo")).policy


@pytest.fixture
def open_sampler(policy, tiny):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    return lambda tokens=10_000, ahead=False, ends=(END,): TransformersSampler(
        policy, tokenizer, list(ends), TOKENS, tokens, ahead
    )


@pytest.fixture
def queries(made_up):
    return [one.query for one in made_up(10)[::2]]


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("tokens", [10_000, 60])
def test_its_log_probabilities_are_the_trainers(policy, open_sampler, queries, sampled, tokens, temperature):
    """With the prompts' padding, rows that leave the batch and the cache, one batch or many."""
    ends = range(3, 90)  # one in six tokens ends a response, so rows leave at different times
    found = sampled(open_sampler(tokens, ends=ends), queries, 3, temperature)
    assert [one.query.group for one in found] == [group for group in range(5) for _ in range(3)]
    assert len({len(one.ids) for one in found}) > 3
    batch = collate(found, 0)
    with torch.no_grad():
        logprobs, _ = policy.logprobs(batch, temperature)
    torch.testing.assert_close(batch.sampled, logprobs, atol=1e-5, rtol=1e-5)
    for one in found:
        assert one.ended == (one.ids[-1] in ends) and not any(token in ends for token in one.ids[:-1])
        assert one.ended or len(one.ids) == TOKENS


def test_greedy_is_what_transformers_generates(policy, open_sampler, queries, sampled):
    found = sampled(open_sampler(ends=()), queries, temperature=0.0)
    for one in found:
        ids = torch.tensor([one.query.ids])
        mask = torch.ones_like(ids)
        expected = policy.model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=TOKENS, eos_token_id=None)
        assert list(one.ids) == expected[0, ids.shape[1] :].tolist()


def test_the_same_seed_draws_the_same_and_samples_of_a_prompt_differ(open_sampler, queries, sampled):
    sampler = open_sampler()
    first, again, other = (sampled(sampler, queries, 2, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert all(one.ids != two.ids for one, two in zip(first[::2], first[1::2], strict=True))


def test_the_end_is_a_token_but_no_text(open_sampler, queries, sampled):
    from tests.tiny import byte_tokenizer

    found = sampled(open_sampler(ends=range(3, 90)), queries, 8)
    decode = byte_tokenizer().decode
    assert {one.ended for one in found} == {True, False}
    for one in found:
        assert one.text == decode(list(one.ids[: -1 if one.ended else None]), skip_special_tokens=True)


def test_weights_are_sampled_live_or_ahead_from_the_last_update(policy, open_sampler, queries, sampled):
    live, ahead = open_sampler(), open_sampler(ahead=True)
    before = sampled(live, queries)
    assert sampled(ahead, queries) == before
    with torch.no_grad():
        for value in policy.parameters().values():
            value.mul_(1.3)
    after = sampled(live, queries)
    assert after != before and sampled(ahead, queries) == before
    ahead.update()
    assert sampled(ahead, queries) == after


def test_tokens_come_by_their_probabilities_and_impossible_ones_never():
    p = torch.tensor([0.0, 0.5, 0.0, 0.3, 0.2, 0.0])
    luck = torch.rand(20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    said, logprobs = _choose(p.log().repeat(20_000, 1), 1.0, luck)
    shares = torch.bincount(said, minlength=6) / len(said)
    torch.testing.assert_close(shares, p, atol=0.015, rtol=0.0)
    torch.testing.assert_close(logprobs, p.log()[said])


def test_positions_count_without_the_padding(policy, open_sampler, queries, sampled, monkeypatch):
    """Rotary embeddings would not show it; learnt positions would."""
    seen = []
    ask = policy.next_logits
    monkeypatch.setattr(policy, "next_logits", lambda **given: (seen.append(given), ask(**given))[1])
    sampled(open_sampler(ends=()), queries)
    prompt, *steps = seen
    lengths = prompt["attention_mask"].sum(-1)
    assert len(set(lengths.tolist())) > 1
    assert (prompt["position_ids"][:, -1] == lengths - 1).all()
    for number, step in enumerate(steps):
        assert (step["position_ids"][:, 0] == lengths + number).all()
        assert (step["attention_mask"].sum(-1) == lengths + number + 1).all()


def test_a_prompt_has_its_own_samples_in_whatever_batch(open_sampler, queries, sampled):
    """Also where a prompt comes twice: the second time it has others, by its group."""
    twice = [*queries, replace(queries[0], group=len(queries))]
    wanted = [(one.query.group, one.ids) for one in sampled(open_sampler(), twice, 3)]
    for tokens in (1, 60):
        assert [(one.query.group, one.ids) for one in sampled(open_sampler(tokens), twice, 3)] == wanted
    alone = [one.ids for one in sampled(open_sampler(), twice[:1], 3)]
    first, second = ([ids for group, ids in wanted if group == asked] for asked in (0, len(queries)))
    assert first == alone != second
