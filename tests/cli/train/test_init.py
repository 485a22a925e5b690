"""The group of methods: it lists them all, makes one at a time, and knows the nearest name."""

from rlaif.rl.methods import METHODS
from rlaif.train.methods import LOSSES


def test_every_method_is_listed(rlaif, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = rlaif("train", "--help")
    assert code == 0 and all(f"│ {name} " in out for name in (*LOSSES, "best-of-n", *METHODS))


def test_a_name_that_is_not_there(rlaif):
    code, _, err = rlaif("train", "grop")
    assert code == 2 and "Did you mean 'grpo'" in err
