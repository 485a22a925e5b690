from hypothesis import given
from hypothesis import strategies as st

from rlaif.engines.base import Failure, FailureReason
from rlaif.engines.groups import batches, by_shared_prefix, each_alone
from rlaif.engines.tokens import Encoded

PROMPT = st.builds(
    lambda sample, tail: Encoded([*sample, *tail], ((0, len(sample)),) if sample else ()),
    st.sampled_from([[], [1], [1, 2, 3], [1, 2, 4], [5] * 9]),
    st.lists(st.integers(6, 9), max_size=5),
).filter(lambda encoded: encoded.ids)
CALL = st.lists(PROMPT | st.just(Failure(FailureReason.TOO_LONG)), max_size=12)


@given(CALL, st.sampled_from([by_shared_prefix, each_alone]))
def test_every_prompt_is_in_one_group_and_keeps_its_ids(encoded, arrange):
    groups = [group for kind in arrange(encoded) for group in kind]
    places = [place for group in groups for place, _ in group.members]
    assert sorted(places) == [place for place, item in enumerate(encoded) if isinstance(item, Encoded)]
    for group in groups:
        for place, item in group.members:
            assert item is encoded[place]
            assert item.ids[: len(group.prefix)] == group.prefix and len(item.ids) > len(group.prefix)


@given(CALL)
def test_groups_share_a_prefix_or_stand_alone(encoded):
    shared, alone = by_shared_prefix(encoded)
    assert all(group.prefix and len(group.members) > 1 for group in shared)
    assert all(not group.prefix and len(group.members) == 1 for group in alone)


@given(CALL, st.integers(0, 3), st.integers(1, 60))
def test_batches_keep_to_their_size(encoded, room, tokens):
    for groups in by_shared_prefix(encoded):
        made = list(batches(groups, room, tokens))
        assert sorted(map(id, groups)) == sorted(id(group) for batch in made for group in batch)
        for batch in made:
            rows = sum(len(group.members) for group in batch)
            assert len(batch) == 1 or rows * (max(group.longest for group in batch) + room) <= tokens
