import pytest

from rlaif.compare.config import LAB, CompareConfig, LabCompareConfig
from rlaif.errors import UsageError
from rlaif.settings import configure, flat


def test_the_lab_needs_a_folder_alone(tmp_path):
    config = configure(LabCompareConfig, out=tmp_path)
    assert config.critic.models == ("lab",) and config.model == "lab:policy" and config.by_gold
    assert not configure(LabCompareConfig, out=tmp_path, judge="lab").by_gold
    assert "source" not in flat(config)
    assert config.settings_file == LAB
    assert configure(LabCompareConfig, out=tmp_path, settings=tmp_path / "s.yaml").settings_file == tmp_path / "s.yaml"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"samples": 1}, "--samples 1"),
        ({"budget": 8, "samples": 9}, "--budget 8"),
        ({"methods": ("dpoo",)}, "did you mean|expected one of"),
        ({"methods": ("reft",), "verifier": None}, "give --verifier"),
        ({"seeds": 0}, "--seeds 0"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, settings, said):
    with pytest.raises(UsageError, match=said):
        configure(LabCompareConfig, out=tmp_path, **settings)


def test_rows_a_model_and_a_critic_are_needed_elsewhere(tmp_path):
    with pytest.raises(UsageError, match="SOURCE is missing"):
        configure(CompareConfig, out=tmp_path, model="m", critic="lab", constitution="lab")
    with pytest.raises(UsageError, match="--critic is missing"):
        configure(CompareConfig, out=tmp_path, model="m", source="rows.jsonl", constitution="lab")
