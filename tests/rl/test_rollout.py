"""The orders in which a judge's question is sampled."""

from rlaif.data.rows import Row
from rlaif.rl.rollout import Query

ROW = Row(1, "1", (), ())


def test_a_prompt_has_one_order_and_a_judges_question_two():
    plain, question = Query(ROW, "", 3, (1, 2)), Query(ROW, "", 3, (1, 2), (1, 2, 4))
    assert plain.orders == (plain,) and plain.length == 2
    assert [(order.ids, order.swapped, order.group) for order in question.orders] == [((1, 2), False, 3), ((1, 2, 4), True, 3)]
    assert question.length == 3 and question.turned().turned() == question
