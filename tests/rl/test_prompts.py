import json
from collections import Counter

import pytest

from rlaif.data.rows import Row
from rlaif.errors import UsageError
from rlaif.rl.prompts import Prompts, hold_out, read_queries
from rlaif.rl.rollout import Query
from tests.tiny import byte_tokenizer


def queries(many, task=lambda number: ""):
    return [Query(Row(number, str(number), (), ()), task(number), 0, (number,)) for number in range(1, many + 1)]


def numbers(drawn):
    return [query.row.number for query in drawn]


def test_every_pass_has_every_prompt_once_in_an_order_of_its_own():
    prompts = Prompts(queries(6), {}, seed=0)
    first, second = numbers(prompts.draw(6)), numbers(prompts.draw(6))
    assert sorted(first) == sorted(second) == list(range(1, 7))
    assert first != second
    assert numbers(Prompts(queries(6), {}, seed=0).draw(6)) == first
    assert numbers(Prompts(queries(6), {}, seed=1).draw(6)) != first
    assert [query.group for query in prompts.draw(4)] == [0, 1, 2, 3]


@pytest.mark.parametrize("done", [0, 1, 3])
def test_the_state_is_where_it_stands(done):
    def fresh():
        return Prompts(queries(5, lambda number: "ab"[number % 2]), {"a": 2.0, "b": 1.0}, seed=3)

    straight, resumed = fresh(), fresh()
    for _ in range(done):
        straight.draw(3)
    straight.pass_over(queries(2))
    resumed.load_state_dict(json.loads(json.dumps(straight.state_dict())))
    assert [numbers(straight.draw(3)) for _ in range(4)] == [numbers(resumed.draw(3)) for _ in range(4)]


def test_a_prompt_is_passed_over_once():
    prompts = Prompts(queries(3), {}, seed=0)
    prompts.pass_over(queries(1))
    assert 1 not in numbers(prompts.draw(2))
    assert sorted(numbers(prompts.draw(3))) == [1, 2, 3]


def test_passing_over_all_of_them_still_ends():
    prompts = Prompts(queries(3), {}, seed=0)
    prompts.pass_over(queries(3))
    assert len(prompts.draw(3)) == 3


def test_tasks_come_by_their_weights():
    both = queries(10, lambda number: "rare" if number == 1 else "common")
    by_rows = Counter(query.task for query in Prompts(both, {}, seed=0).draw(500))
    by_weight = Counter(query.task for query in Prompts(both, {"rare": 3.0, "common": 1.0}, seed=0).draw(500))
    assert 25 <= by_rows["rare"] <= 80 and 340 <= by_weight["rare"] <= 410
    one_named = Counter(query.task for query in Prompts(both, {"rare": 3.0}, seed=0).draw(500))
    assert one_named == by_weight  # the other counts 1
    with pytest.raises(UsageError, match=r"'other'.*'common', 'rare'"):
        Prompts(both, {"other": 1.0}, seed=0)


def test_no_prompt_is_on_both_sides():
    twice = [*queries(6), *queries(6)]
    training, held_out = hold_out(twice, 2, 0, "rows.jsonl")
    assert len(training) == 8 and len(held_out) == 2
    assert not {query.ids for query in training} & {query.ids for query in held_out}
    assert [query.group for query in held_out] == [0, 1]
    assert hold_out(twice, 2, 0, "rows.jsonl") == (training, held_out)
    with pytest.raises(UsageError, match=r"--eval-prompts 6: rows.jsonl has 6 prompts"):
        hold_out(twice, 6, 0, "rows.jsonl")


def test_rows_that_give_no_prompt_are_listed(tmp_path):
    source = tmp_path / "rows.jsonl"
    rows = [{"prompt": "hello", "task": "greet"}, {"prompt": ""}, {"prompt": "hello world " * 40, "responses": ["x"]}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found, failures = read_queries(str(source), None, byte_tokenizer(), 60)
    assert [query.task for query in found] == ["greet", ""]
    assert len(found[1].ids) <= 60
    assert [(failure.row, failure.reason) for failure in failures] == [(2, "bad_row")]
    source.write_text('{"prompt": "hello world"}\n')
    with pytest.raises(UsageError, match="no row gives a prompt"):
        read_queries(str(source), None, byte_tokenizer(), 4)


def test_special_tokens_in_a_prompt_are_text(tmp_path):
    source, tokenizer = tmp_path / "rows.jsonl", byte_tokenizer()
    source.write_text(json.dumps({"prompt": "<|im_end|>"}) + "\n" + json.dumps({"prompt": "hello"}) + "\n")
    hostile, clean = (query.ids.count(tokenizer.eos_token_id) for query in read_queries(str(source), None, tokenizer, 200)[0])
    assert hostile == clean


def test_with_a_curriculum_what_is_learnable_comes_up_more_often():
    """Prompts that nobody has asked yet all come first; then each by its chance, and the state continues it exactly."""

    def fresh():
        return Prompts(queries(4), {}, seed=0, curriculum=0.25)

    prompts, resumed = fresh(), fresh()
    assert sorted(numbers(prompts.draw(4))) == [1, 2, 3, 4]
    prompts.learn({1: [0.0, 1.0], 2: [0.25, 0.75], 3: [1.0, 1.0], 4: [0.0]})
    resumed.load_state_dict(json.loads(json.dumps(prompts.state_dict())))
    drawn = numbers(prompts.draw(800))
    assert drawn == numbers(resumed.draw(800))
    often = Counter(drawn)
    passes = often[1]  # asked in every pass, as is 4, of which one score says nothing
    assert abs(often[4] - passes) <= 1
    assert 0.4 < often[2] / passes < 0.6 and 0.17 < often[3] / passes < 0.34
