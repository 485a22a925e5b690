"""Order, padding, hold-out and mismatches, on items of random lengths."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.errors import UsageError
from rlaif.train.batches import LengthGrouped, MicroBatches, collate, hold_out, mismatched, pack
from rlaif.train.items import Encoder, Item, Tokens
from rlaif.train.rows import Example
from tests.tiny import byte_tokenizer

lengths = st.lists(st.integers(1, 40), min_size=1, max_size=90)


def item(prompt, *sizes, p=1.0):
    """prompt: a number that stands for the prompt; sizes: tokens of each response."""
    return Item(tuple(Tokens([100, prompt, *[7 + size] * size], 2) for size in sizes), p, group=str(prompt))


@given(lengths, st.integers(1, 9), st.integers(0, 3))
def test_every_row_comes_once_an_epoch_and_epochs_repeat(sizes, batch, epoch):
    sampler = LengthGrouped(sizes, batch, seed=1)
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert sorted(order) == list(range(len(sizes)))
    again = LengthGrouped(sizes, batch, seed=1)
    again.set_epoch(epoch)
    assert list(again) == order


def test_batches_hold_rows_of_like_length_in_an_order_that_changes():
    sizes = [number % 40 for number in range(400)]
    sampler = LengthGrouped(sizes, 8, seed=0)
    first = list(sampler)
    padding = sum(max(part) * 8 - sum(part) for part in ([sizes[i] for i in first[s : s + 8]] for s in range(0, 400, 8)))
    assert padding < 0.1 * sum(sizes)
    sampler.set_epoch(1)
    assert list(sampler) != first


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=6))
def test_a_batch_holds_every_token_where_its_masks_say(sizes):
    items = [item(number, *pair) for number, pair in enumerate(sizes)]
    batch = collate(items, pad=0)
    sequences = [one.sequences[place] for place in (0, 1) for one in items]
    for row, tokens in enumerate(sequences):
        assert batch.ids[row][batch.attention[row] == 1].tolist() == tokens.ids
        assert batch.ids[row][batch.response[row]].tolist() == tokens.ids[tokens.start :]


@given(st.lists(st.integers(0, 8), min_size=2, max_size=40), st.floats(0.01, 0.99), st.integers(0, 5))
def test_no_prompt_is_on_both_sides(prompts, fraction, seed):
    items = [item(prompt, 3, 4) for prompt in prompts]
    if len(set(prompts)) == 1:
        with pytest.raises(UsageError, match="share one prompt"):
            hold_out(items, fraction, seed)
        return
    training, held = hold_out(items, fraction, seed)
    assert training
    assert held
    assert not {one.prompt for one in training} & {one.prompt for one in held}
    assert len(training) + len(held) == len(items)


@given(st.lists(st.integers(0, 8), min_size=1, max_size=25), st.integers(0, 3))
def test_a_mismatch_is_this_prompt_with_anothers_completion(prompts, seed):
    items = [item(prompt, 1 + number) for number, prompt in enumerate(prompts)]
    owner = {one.sequences[0].ids[-1]: one.prompt for one in items}
    for before, after in zip(items, mismatched(items, context=1000, seed=seed), strict=True):
        right, wrong = after.sequences
        assert right == before.sequences[0]
        assert tuple(wrong.ids[: wrong.start]) == before.prompt
        if len(set(prompts)) > 1:
            assert owner[wrong.ids[-1]] != before.prompt


@given(lengths, st.integers(1, 9), st.integers(1, 4), st.integers(1, 4))
def test_processes_share_the_steps_of_one(sizes, batch, micro, processes):
    def steps(process, many):
        return list(MicroBatches(LengthGrouped(sizes, batch, seed=1), batch, micro, process, many))

    order = list(LengthGrouped(sizes, batch, seed=1))
    all_of_them = [steps(process, processes) for process in range(processes)]
    own = MicroBatches(LengthGrouped(sizes, batch, seed=1), batch, micro, 0, processes)
    assert {len(passes) for passes in all_of_them} == {len(own)}
    passes = -(-batch // (micro * processes))  # of a full batch, over which the Trainer accumulates
    for start in range(0, len(sizes), batch):
        at = start // batch * passes
        parts = [part for passes_ in all_of_them for part in passes_[at : at + passes]]
        assert sorted(index for part in parts for index in part) == sorted(order[start : start + batch])
    assert all(len(part) <= micro for passes_ in all_of_them for part in passes_)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=12))
def test_packing_keeps_every_token_with_its_place_and_its_part(sizes):
    items = [item(number, size) for number, size in enumerate(sizes)]
    batch = pack(items, pad=0, context=24)
    assert batch.ids.shape[1] <= 24
    starts = [(row, at) for row, at in (batch.positions == 0).nonzero().tolist() if batch.attention[row, at]]
    found = []
    for row, at in starts:
        end = next(at + step for step in range(1, 25) if at + step == batch.ids.shape[1] or not batch.positions[row, at + step])
        assert batch.positions[row, at:end].tolist() == list(range(end - at))
        found.append((batch.ids[row, at:end].tolist(), batch.response[row, at:end].tolist()))
    assert sorted(found) == sorted(
        (one.sequences[0].ids, [False, False] + [True] * size) for one, size in zip(items, sizes, strict=True)
    )


def test_a_long_conversation_stays_on_one_side_however_it_was_cut_for_its_responses():
    """Each response leaves another part of the prompt's middle standing; a text comes in pieces."""
    encoder, items = Encoder(byte_tokenizer(), 96), []
    for number in range(12):
        prompt = ({"role": "user", "content": f"{number} hello world " * 12},)
        for response in ("A", "world " * 8, "hello " * 30):
            items += encoder.items(Example(number, str(number), prompt, (response,)))
        items += encoder.items(Example(number, str(number), (), (f"world {number} " * 80,)))
    assert len({one.prompt for one in items}) > 24
    training, held = hold_out(items, 0.4, seed=0)
    assert training and held
    assert not {one.group for one in training} & {one.group for one in held}
    assert len({one.group for one in items}) == 24 and len(training) + len(held) == len(items)


def test_what_is_held_out_does_not_depend_on_the_names_of_groups():
    """By the prompts' tokens, as ever: the same rows are held out as before conversations had names."""
    items = [item(prompt, 3) for prompt in (5, 3, 8, 1, 3, 9)]
    renamed = [replace(one, group=f"other {one.group}") for one in items]
    held = [{one.prompt for one in hold_out(some, 0.4, seed=2)[1]} for some in (items, renamed)]
    assert held[0] == held[1]
