import torch
from hypothesis import given
from hypothesis import strategies as st

from rlaif.data.rows import Row
from rlaif.rl.batch import collate, micro_batches
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
