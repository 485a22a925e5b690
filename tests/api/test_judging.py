import asyncio

import pytest

from rlaif.api.judging import compared, ranked, row_of
from rlaif.constitution.types import Constitution
from rlaif.critic.ask import Critic
from rlaif.critic.config import CriticConfig
from rlaif.critic.jury import Jury
from rlaif.critic.store import VerdictStore
from rlaif.errors import UsageError


def test_a_row_is_known_by_what_it_says_and_not_by_its_place():
    assert row_of(1, "q", ["a", "b"]).id == row_of(7, [{"role": "user", "content": "q"}], ["a", "b"]).id
    assert row_of(1, "q", ["a", "b"]).id != row_of(1, "q", ["b", "a"]).id
    with pytest.raises(UsageError, match="prompt 3"):
        row_of(3, 5, ["a"])


def test_a_ranking_agrees_with_its_comparisons(tmp_path):
    (tmp_path / "s.yaml").write_text(
        'rules: [{when: "(?s)<response_a>.{0,3}good", choose: {A: 0.9, B: 0.1}}, {choose: {A: 0.5, B: 0.5}}]'
    )
    config = CriticConfig(models=(f"script:{tmp_path / 's.yaml'}",), constitution=Constitution.load("concise").sources[0])
    (engine,) = config.engines()
    with VerdictStore(tmp_path / "v.sqlite") as store:
        jury = Jury(config.critics([engine], store))
        assert isinstance(jury.critics[0], Critic)
        (order,) = asyncio.run(ranked(jury, [row_of(1, "q", ["x", "good", "y"])]))
        (pair,) = asyncio.run(compared(jury, [row_of(1, "q", ["x", "good"])]))
    assert order.pairs[0, 1] == pair and pair.p == pytest.approx(0.3)
    assert order.order[0] == 1 and order.values[1] == pytest.approx(0.7)
