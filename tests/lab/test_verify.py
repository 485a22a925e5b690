import pytest

from rlaif.lab.gold import gold
from rlaif.lab.verify import correct
from rlaif.lab.world import rows


def test_it_is_golds_correctness():
    seen = set()
    for row in rows(60, seed=3):
        for response in row["responses"]:
            value = correct({"prompt": row["prompt"]}, response["text"])
            assert value == gold(row["prompt"], response["text"])["correct"] == response["gold"]["correct"]
            seen.add(value)
    assert seen == {0.0, 0.5, 1.0}


@pytest.mark.parametrize("prompt", ["", "What is love?", 3])
def test_of_another_world_nothing_is_known(prompt):
    assert correct({"prompt": prompt}, "Yes.") is None
