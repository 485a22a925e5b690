"""Files that are no constitutions, or too much of one: a few lines, and no more time than reading them takes."""

import os

import pytest

from rlaif.constitution.load import MAX_CHAIN, load_constitution
from rlaif.constitution.read import MAX_PROBLEMS
from rlaif.errors import UsageError

HEAD = "name: t\nversion: 1\n"
ONE = "principles:\n  - {id: kind, text: kind}\n"


def problems(path):
    with pytest.raises(UsageError) as caught:
        load_constitution(path)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    "text",
    [
        HEAD + ONE + "".join(f"k{number}: 1\n" for number in range(3000)),
        HEAD + ONE + "k: 1\n" * 3000,
        HEAD + "principles:\n" + "".join(f"  - {{id: a{number}, txt: x}}\n" for number in range(2000)),
        HEAD + "principles:\n" + "  - {id: a, text: x}\n" * 2000,
        HEAD + "principles:\n" + "  - 7\n" * 3000,
        HEAD + "extends: base.yaml\nprinciples:\n" + "".join(f"  - {{id: b{number}}}\n" for number in range(2000)),
    ],
)
def test_many_problems_are_some_lines(tmp_path, text):
    (tmp_path / "base.yaml").write_text(HEAD + "principles:\n" + "".join(f"  - {{id: a{n}, text: x}}\n" for n in range(2000)))
    (tmp_path / "c.yaml").write_text(text)
    lines = problems(tmp_path / "c.yaml")
    assert len(lines) == MAX_PROBLEMS + 1 and "there are more problems" in lines[-1]
    assert all(line.startswith(f"{tmp_path / 'c.yaml'}:") for line in lines)


@pytest.mark.parametrize("circle", [False, True])
def test_a_long_chain_is_not_followed(tmp_path, circle):
    for number in range(200):
        following = (number + 1) % 200 if circle else number + 1
        (tmp_path / f"{number}.yaml").write_text(f"{HEAD}extends: {following}.yaml\n{ONE}")
    (line,) = problems(tmp_path / "0.yaml")
    assert line.startswith(f"{tmp_path / str(MAX_CHAIN - 1)}.yaml:3:10: extends: the chain is longer than {MAX_CHAIN} files")


def test_pipes_and_devices_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "c.yaml").write_text(f"{HEAD}extends: pipe.yaml\n{ONE}")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    for name in ("pipe.yaml", "c.yaml", "zero.yaml"):
        (line,) = problems(tmp_path / name)
        assert "a pipe or a device" in line
