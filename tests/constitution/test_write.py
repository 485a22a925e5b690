"""Weights put into a file that keeps every other character."""

from pathlib import Path

import pytest

from rlaif.constitution.load import load_constitution
from rlaif.constitution.write import write_weights
from rlaif.errors import UsageError

ROOT = Path(__file__).parents[2] / "constitutions"
FILE = """\
# top
name: x   # why x
version: 1
principles:
    # about kind
    -   id: kind   # the first
        text: >-
            Folded
            text.
        weight: 2.0   # twice
    - {id: short, weight: 3, text: "It's \\"short\\"."}
    - {text: Flow., id: flow}
    - text: Plain.
      id: plain
aggregate: weighted
# end
"""


def weights(path):
    return {principle.id: principle.weight for principle in load_constitution(path).principles}


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_only_the_weights_change(tmp_path, ends):
    path = tmp_path / "c.yaml"
    path.write_text(FILE, newline=ends)
    wanted = {"kind": 0.25, "short": 1.0, "flow": 0.333, "plain": 7.0}
    write_weights(path, wanted)
    assert weights(path) == wanted
    expected = (
        FILE.replace("weight: 2.0   #", "weight: 0.25   #").replace("weight: 3,", "weight: 1,")
        .replace("id: flow}", "id: flow, weight: 0.333}").replace("      id: plain\n", "      id: plain\n      weight: 7\n")
    )  # fmt: skip
    assert path.read_bytes() == expected.replace("\n", ends).encode()


@pytest.mark.parametrize("name", ["concise", "helpful-honest-harmless", "lab", "summarization"])
def test_shipped_files_keep_their_lines(tmp_path, name):
    for file in ROOT.glob("*.yaml"):
        (tmp_path / file.name).write_text(file.read_text())
    path = tmp_path / f"{name}.yaml"
    wanted = {principle: 0.5 + number / 8 for number, principle in enumerate(weights(path))}
    write_weights(path, wanted)
    assert weights(path) == wanted
    before, after = ((ROOT / path.name).read_text().splitlines(), path.read_text().splitlines())
    assert [line for line in before if "weight:" not in line] == [
        line for line in after if line in before and "weight:" not in line
    ]


def test_an_inherited_principle_gets_an_entry_before_what_follows_the_list(tmp_path):
    (tmp_path / "base.yaml").write_text(
        "name: b\nversion: 1\nprinciples:\n  - {id: kind, text: Kind.}\n  - {id: old, text: O.}\n"
    )
    path = tmp_path / "c.yaml"
    path.write_text("name: x\nversion: 1\nextends: base.yaml\nprinciples:\n- id: new\n  text: New.\naggregate: weighted\n")
    write_weights(path, {"kind": 2.0, "new": 3.0})
    assert weights(path) == {"kind": 2.0, "old": 1.0, "new": 3.0}
    path.write_text("name: x\nversion: 1\nextends: base.yaml")
    write_weights(path, {"old": 0.5})
    assert weights(path) == {"kind": 1.0, "old": 0.5}


def test_a_file_that_cannot_take_them_stays_as_it_was(tmp_path):
    (tmp_path / "base.yaml").write_text("name: b\nversion: 1\nprinciples:\n  - {id: kind, text: Kind.}\n")
    path = tmp_path / "c.yaml"
    text = "name: x\nversion: 1\nextends: base.yaml\nprinciples: [{id: new, text: New.}]\n"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"c\.yaml: the weights cannot be put into this file"):
        write_weights(path, {"kind": 2.0})
    assert path.read_text() == text and sorted(tmp_path.iterdir()) == [tmp_path / "base.yaml", path]


def test_a_link_and_the_files_mode_stay(tmp_path):
    path, link = tmp_path / "c.yaml", tmp_path / "link.yaml"
    path.write_text(FILE)
    path.chmod(0o600)
    link.symlink_to(path)
    write_weights(link, {"kind": 5.0})
    assert link.is_symlink() and path.stat().st_mode & 0o777 == 0o600
    assert weights(path)["kind"] == 5.0
