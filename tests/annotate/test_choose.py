import pytest

from rlaif.annotate.choose import STRATA, confidence, disagreement, stratum_of, tasks
from rlaif.data.records import PreferenceRecord, PrincipleVerdict
from tests.reference.fake_run import PRINCIPLES, preferences, turn

RECORDS = [PreferenceRecord.from_dict(values) for values in preferences(200)]


def chosen(by="overall", choose="random", limit=1000, seed=0, records=RECORDS):
    return tasks(lambda: iter(records), by, choose, limit, seed)


def test_random_order_is_the_seeds_and_its_beginning_does_not_depend_on_how_many():
    every, pairs = chosen()
    assert pairs == 200 and len(every) == 200 and {task.question for task in every} == {"overall"}
    assert chosen(limit=20)[0] == every[:20] and chosen()[0] == every
    other = [task.record.id for task in chosen(seed=1)[0]]
    assert other != [task.record.id for task in every] and sorted(other) == sorted(task.record.id for task in every)


@pytest.mark.parametrize("by", ["overall", "polite"])
def test_the_least_sure_and_the_most_at_odds_come_first(by):
    sure = [confidence(task.record, by) for task in chosen(by, "uncertainty")[0]]
    apart = [disagreement(task.record, by) for task in chosen(by, "disagreement")[0]]
    assert sure == sorted(sure) and sure[0] < sure[-1]
    assert apart == sorted(apart, reverse=True) and apart[0] > apart[-1]


def test_strata_take_turns():
    first = chosen(choose="stratified", limit=2 * STRATA)[0]
    there = {stratum_of(confidence(record, "overall")) for record in RECORDS}
    turns = [stratum_of(confidence(task.record, "overall")) for task in first]
    assert len(there) > 2 and set(turns[: len(there)]) == there and stratum_of(1.0) == STRATA - 1


def test_each_principle_of_a_pair_in_turn():
    asked, pairs = chosen("principle", limit=5)
    assert pairs == 200 and [task.question for task in asked] == [*PRINCIPLES] * 5
    assert all(len({task.record.id for task in asked[at : at + 3]}) == 1 for at in range(0, 15, 3))
    assert chosen("nothing")[1] == 0


def record(p=0.8, jury=None, gap=None, chosen="a", rejected="b"):
    verdict = PrincipleVerdict(id="kind", p=p, jury=jury, gap=gap)
    texts = {"prompt": (turn("user", "q"),), "chosen": (turn("assistant", chosen),), "rejected": (turn("assistant", rejected),)}
    return PreferenceRecord(id="1:0-1", **texts, p_chosen=p, principles=(verdict,), row=1, chosen_index=0, rejected_index=1)


def test_disagreement_is_the_critics_else_the_orders():
    assert disagreement(record(jury=(0.9, 0.5)), "kind") == pytest.approx(0.2)
    assert disagreement(record(gap=-0.3), "overall") == pytest.approx(0.15)
    assert disagreement(record(jury=(0.9, None)), "kind") == 0.0


def test_two_responses_that_are_the_same_are_not_asked_about():
    assert chosen(records=[record(chosen="a", rejected="a")]) == ([], 0)
