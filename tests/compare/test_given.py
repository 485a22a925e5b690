import pytest

from rlaif.compare.config import LAB
from rlaif.compare.given import read_given
from rlaif.errors import UsageError


def test_settings_stand_by_step_and_for_several(tmp_path):
    (tmp_path / "g.yaml").write_text("train: {lora: 8}\non-policy: {beta: 0.1}\ndpo: {beta: 0.2}\n")
    assert read_given(tmp_path / "g.yaml") == {"train": {"lora": 8}, "on-policy": {"beta": 0.1}, "dpo": {"beta": 0.2}}
    assert read_given(None) == {}


def test_the_lab_s_own_file_is_sound():
    assert {"train", "on-policy", "reward-model"} <= read_given(LAB).keys()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dpoo: {beta: 0.2}", "g.yaml:1:1: dpoo"),
        ("dpo:\n  betta: 0.2", "g.yaml:2:3: dpo.betta"),
        ("dpo: {beta: high}", "g.yaml:1:13: dpo.beta"),
        ("dpo: {out: elsewhere}", "g.yaml:1:7: dpo.out"),
        ("known: {noisy: true}", "g.yaml:1:1: known"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path, text, said):
    (tmp_path / "g.yaml").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_given(tmp_path / "g.yaml")
