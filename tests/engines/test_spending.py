"""What is paid for is counted, and a limit is kept without losing what was paid for."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.engines.spending import Budget, Meter, Price, budget_of, price, share
from rlaif.errors import RunFailed, UsageError


def used(read, written):
    return {"usage": {"prompt_tokens": read, "completion_tokens": written}}


class Engine:
    def __init__(self, price=None):
        self.meter = Meter(price)


def test_tokens_become_dollars_by_the_million():
    meter = Meter(Price(2.5, 10))
    meter.count(used(1_000_000, 100_000))
    assert meter.dollars == pytest.approx(3.5) and meter.requests == 1
    assert Meter().dollars is None


def test_what_a_reply_says_of_its_use_must_be_numbers():
    meter = Meter(Price(1, 1))
    for usage in ({}, {"usage": None}, {"usage": {"prompt_tokens": "9"}}, {"usage": {"prompt_tokens": -1}}):
        meter.count(usage)
    assert (meter.read, meter.written, meter.requests) == (0, 0, 4) and meter.unreported >= 3


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "a,b", "-1,2", "nan,1", "inf,1"])
def test_a_price_is_two_numbers(text):
    with pytest.raises(UsageError, match="expected IN,OUT"):
        price(text)


@given(
    costs=st.lists(st.integers(1, 50), min_size=1, max_size=60) | st.integers(1, 50).map(lambda cost: [cost] * 40),
    limit=st.integers(1, 600),
    seed=st.integers(0, 9),
)
def test_the_limit_is_kept_and_nothing_paid_for_is_lost(costs, limit, seed):
    """Pieces of any cost, all at once, as the labelling pipeline asks them; the first to fail cancels the others."""
    engine = Engine(Price(1e6, 0))  # a dollar a token
    budget = Budget([engine.meter], float(limit))
    rng, kept = random.Random(seed), []

    async def ask(cost):
        async with budget.piece():
            await asyncio.sleep(0)
            for _ in range(rng.randint(0, 3)):
                await asyncio.sleep(0)
            engine.meter.count(used(cost, 0))
            await asyncio.sleep(0)
            kept.append(cost)

    async def go():
        await asyncio.gather(*(ask(cost) for cost in costs))

    try:
        asyncio.run(go())
    except RunFailed as error:
        assert "--max-cost" in str(error)
        assert budget.spent + max(kept) > limit  # no money for one more as dear as the dearest
    else:
        assert len(kept) == len(costs)
    assert sum(kept) == budget.spent  # all that was paid for was kept
    if len(set(costs)) == 1:  # dearer ones than any before may go over it, by what they are dearer
        assert budget.spent <= max(limit, kept[0])


def test_a_piece_within_a_piece_is_part_of_it():
    budget = Budget([Meter(Price(1, 1))], 1e-9)

    async def go():
        async with budget.piece():
            budget.meters[0].count(used(10, 0))
            async with asyncio.timeout(5), budget.piece():  # a rationale, before its label
                pass

    asyncio.run(go())
    assert budget.spent == pytest.approx(1e-5)


def test_earlier_starts_count():
    budget = Budget([Meter(Price(1, 1))], 2.0, before=2.0)
    with pytest.raises(RunFailed, match=r"\$2.0000 are spent"):
        asyncio.run(budget.piece().__aenter__())


def test_a_server_that_does_not_say_what_it_used_cannot_be_limited():
    budget = Budget([Meter(Price(1, 1))], 2.0)
    budget.meters[0].count({})
    with pytest.raises(RunFailed, match="do not say what they used"):
        asyncio.run(budget.piece().__aenter__())


def test_engines_share_one_budget_and_a_stated_price_wins():
    engines = [Engine(Price(1, 1)), Engine()]
    with pytest.raises(UsageError, match="--max-cost needs --price"):
        share(engines, None, 1.0)
    share(engines, "3,15", 1.0)
    assert engines[0].meter.price == engines[1].meter.price == Price(3, 15)
    assert budget_of(engines[:1]) is budget_of(engines[1:])
    assert budget_of([object()]) is None
    for stated, limit in (("1,1", None), (None, 1.0)):
        with pytest.raises(UsageError, match="needs a critic that is asked over HTTP"):
            share([object()], stated, limit)
