import json

import pytest

from rlaif.errors import UsageError
from rlaif.rl.monitor.limits import LIMITS, SCHEMA, FallRule, Limit, Limits, load_limits


def write(folder, text):
    (folder / "limits.yaml").write_text(text)
    return folder / "limits.yaml"


def test_without_a_file_the_defaults_hold():
    assert load_limits(None) == Limits() and Limits().limits == LIMITS


def test_a_file_changes_what_it_names(tmp_path):
    text = "patience: 1\nlimits: {length: {warn: 3}, waiting: {stop: 0.9, warn: null}}\nfall: {z: 5, window: 1}\n"
    found = load_limits(write(tmp_path, text))
    assert found.patience == 1 and found.fall == FallRule(window=1, z=5.0)
    assert found.limits == {**LIMITS, "length": Limit(3, 4.0), "waiting": Limit(None, 0.9)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("limits: {lenght: {warn: 3}}", "1:10: limits.lenght: unknown key; allowed: length, "),
        ("limits: {length: {wrn: 3}}", "1:19: limits.length.wrn: unknown key; allowed: warn, stop; did you mean warn?"),
        ("fall: {times: 0}", "1:15: fall.times: found 0; allowed: a whole number at least 1"),
        ("patience: soon", "1:11: patience: found 'soon'; allowed: a whole number"),
        ("", "1:1: empty; a file of limits has at least"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path, text, said):
    with pytest.raises(UsageError) as error:
        load_limits(write(tmp_path, text))
    assert said in str(error.value)


def test_the_schema_knows_every_limit():
    assert json.loads(SCHEMA.read_text())["properties"]["limits"]["properties"].keys() == LIMITS.keys()
