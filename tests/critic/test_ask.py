"""A critic's questions: asked once, rationales first, a failed rationale a failed answer."""

import asyncio

import pytest

from rlaif.critic.ask import Replies
from rlaif.critic.jury import Jury
from rlaif.critic.store import VerdictStore
from rlaif.critic.verdict import Failure
from rlaif.engines.base import FailureReason
from tests.critic.erratic import ErraticEngine, critics, row


@pytest.fixture
def store(tmp_path):
    with VerdictStore(tmp_path / "store.sqlite") as store:
        yield store


def verdicts(jury, *rows):
    """The verdicts on the first two responses of each row, all asked at once by callers of their own."""
    plans = [jury.plan(each, (0, 1)) for each in rows]

    async def ask(plan):
        replies = Replies()
        await jury.ask([plan], replies)
        return [verdict for _, verdict in jury.on_pair(jury.verdicts([plan], replies), 0, 1)], replies

    async def every():
        return await asyncio.gather(*(ask(plan) for plan in plans))

    return asyncio.run(every())


@pytest.mark.parametrize("form", ["compare", "rank", "reasons"])
def test_two_callers_who_ask_the_same_at_once_share_the_answers(store, form):
    engine = ErraticEngine("critic")
    jury = Jury(critics(store, engine, form=form))
    (one, first), (other, second) = verdicts(jury, row("x", "y"), row("x", "y"))
    assert one == other and (first.asked, second.asked) == (4, 0)
    assert engine.asked == (8 if form == "reasons" else 4)
    ((again, third),) = verdicts(jury, row("x", "y"))
    assert again == one and third.asked == 0 and engine.asked == (8 if form == "reasons" else 4)


def test_a_rationale_that_was_cut_is_no_verdict_and_no_label_is_paid_for(store):
    engine = ErraticEngine("critic", cut=True)
    ((found, _),) = verdicts(Jury(critics(store, engine, form="reasons")), row("x", "y"))
    assert [verdict.reason for verdict in found] == [FailureReason.TRUNCATED] * 2
    assert engine.asked == 4  # two rationales for each of two principles


def test_a_rationale_that_failed_is_asked_for_again_later_if_it_failed_in_passing(store):
    engine = ErraticEngine("critic", failing=1.0)
    jury = Jury(critics(store, engine, form="reasons"))
    ((found, _),) = verdicts(jury, row("x", "y"))
    assert all(isinstance(verdict, Failure) and verdict.reason == FailureReason.REFUSED for verdict in found)
    asked = engine.asked
    assert verdicts(jury, row("x", "y"))[0][0] == found and engine.asked == asked  # a refusal lasts


def test_a_rationale_that_the_store_has_lost_is_written_again(store):
    engine = ErraticEngine("critic")
    jury = Jury(critics(store, engine, form="reasons"))
    ((found, _),) = verdicts(jury, row("x", "y"))
    asked = engine.asked
    store._db.execute("DELETE FROM answers WHERE CAST(answer AS TEXT) LIKE '%because%'")
    assert verdicts(jury, row("x", "y"))[0][0] == found
    assert engine.asked == asked + 4
