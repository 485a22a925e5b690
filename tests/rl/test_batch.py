import torch
from hypothesis import given
from hypothesis import strategies as st

from rlaif.data.rows import Row
from rlaif.rl.batch import collate, micro_batches, passes
from rlaif.rl.rollout import Query, Rollout

PAD = 99


def rollout(prompt, response, group=0, ended=True):
    query = Query(Row(group, str(group), (), ()), "", group, tuple(prompt))
    return Rollout(query, tuple(response), tuple(-float(each) for each in response), "", ended)


rollouts = st.lists(
    st.builds(
        rollout,
        st.lists(st.integers(0, 50), min_size=1, max_size=6),
        st.lists(st.integers(0, 50), min_size=1, max_size=5),
        st.integers(0, 3),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


def check(batch, expected):
    for row, one in enumerate(expected):
        many = len(one.ids)
        assert batch.mask[row].tolist() == [True] * many + [False] * (batch.mask.shape[1] - many)
        assert batch.tokens[row, :many].tolist() == list(one.ids)
        assert batch.sampled[row, :many].tolist() == list(one.logprobs)
        assert batch.ids[row, : len(one.query.ids) + many].tolist() == [*one.query.ids, *one.ids]
        before = batch.before[row, :many]
        assert batch.ids[row, before + 1].tolist() == list(one.ids)  # the state before a token is that after the one before
        assert before[0] == len(one.query.ids) - 1
        assert batch.lengths[row] == len(one.query.ids) + many
        assert batch.ended[row] == one.ended and batch.groups[row] == one.query.group
    assert batch.mask.shape[1] == max(len(one.ids) for one in expected)
    assert batch.ids.shape[1] == max(len(one.query.ids) + len(one.ids) for one in expected)


@given(rollouts, st.data())
def test_rows_keep_what_they_hold_whatever_is_beside_them(found, data):
    batch = collate(found, PAD)
    check(batch, found)
    rows = data.draw(st.lists(st.integers(0, len(found) - 1), min_size=1, unique=True))
    check(batch.take(torch.tensor(rows)), [found[row] for row in rows])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20), st.integers(1, 100))
def test_micro_batches_hold_every_row_once_within_the_tokens(lengths, tokens):
    parts = [part.tolist() for part in micro_batches(torch.tensor(lengths), tokens)]
    assert sorted(row for part in parts for row in part) == list(range(len(lengths)))
    for part in parts:
        assert len(part) == 1 or len(part) * max(lengths[row] for row in part) <= tokens


def test_all_processes_make_as_many_passes_and_count_each_row_once():
    lengths = torch.tensor([9, 2, 2, 2, 8, 2, 3])
    for many in (1, 2, 3, 9):
        found = [list(passes(lengths, 10, (number, many), True)) for number in range(many)]
        assert len({len(each) for each in found}) == 1
        assert sorted(row for each in found for rows, own in each if own for row in rows.tolist()) == list(range(7))
        assert all(rows.tolist() == [1] for each in found for rows, own in each if not own)
        alone = [list(passes(lengths, 10, (number, many), False)) for number in range(many)]
        assert all(own for each in alone for _, own in each)
