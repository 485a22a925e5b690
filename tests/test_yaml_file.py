"""Files of settings: all problems at once, each with its position."""

import pytest

from rlaif.errors import UsageError
from rlaif.yaml_file import read_settings, settle

SCHEMA = {
    "type": "object",
    "properties": {"steps": {"type": "integer", "minimum": 1}, "kind": {"enum": ["fast", "slow"]}},
    "additionalProperties": False,
}


@pytest.fixture
def settings(tmp_path):
    def read(text):
        path = tmp_path / "s.yaml"
        path.write_text(text, encoding="utf-8")
        source = read_settings(path, SCHEMA, "file of settings", "one setting")
        settle(source)
        return source.data

    return read


def test_what_is_right_is_read(settings):
    assert settings("steps: 3  # three\nkind: slow\n") == {"steps": 3, "kind": "slow"}


def test_every_problem_has_its_line_and_column(settings):
    with pytest.raises(UsageError) as raised:
        settings("steps: 0\nkidn: fast\nkind: quick\n")
    lines = str(raised.value).splitlines()
    assert [line.partition("s.yaml:")[2] for line in lines] == [
        "1:8: steps: found 0; allowed: a whole number at least 1",
        "2:1: kidn: unknown key; allowed: steps, kind; did you mean kind?",
        "3:7: kind: found 'quick'; allowed: fast, slow",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty; a file of settings has at least one setting"),
        ("steps: [", "not valid YAML"),
        ("- 1", "found a list; allowed: a mapping"),
        ("steps: 1\nsteps: 2", "set twice"),
    ],
)
def test_a_file_of_another_form_is_one_message(settings, text, expected):
    with pytest.raises(UsageError, match=expected):
        settings(text)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.yaml: cannot be read"):
        read_settings(tmp_path / "nowhere.yaml", SCHEMA, "file", "one setting")
