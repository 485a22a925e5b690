"""CONTRIBUTING.md says which files a change touches; they are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LIMITS = {
    "engine": 2,
    "engine setting": 1,
    "feedback mode": 3,
    "offline loss": 2,
    "on-policy estimator": 2,
    "reward source": 3,
    "sampler": 2,
    "method of a comparison": 1,
    "column of the preference rows": 2,
}


def table():
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| (.+) \|$", PAGE, flags=re.MULTILINE)
    return {name.strip(): (int(files), re.findall(r"`([\w/.]+)`", which)) for name, files, which in rows}


def test_the_table_has_every_kind_of_change_with_as_many_files_as_it_counts():
    assert table().keys() == LIMITS.keys()
    for name, (files, which) in table().items():
        assert files == len(which) <= LIMITS[name], name


def test_the_files_that_a_change_touches_exist():
    for name, (_, which) in table().items():
        for path in which:
            assert (ROOT / path).exists(), f"{name}: {path}"


def test_the_commands_of_make_exist():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = set(re.findall(r"\bmake ([\w-]+)", PAGE))
    assert named and named <= set(targets)
