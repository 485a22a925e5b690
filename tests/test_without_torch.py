"""The core without torch: constitutions, stores, reports, and labelling by a server or a script."""

import subprocess
import sys

import pytest

BLOCKED = """
import sys
from importlib.machinery import PathFinder

class Blocked(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        absent = name.partition(".")[0] in ("torch", "transformers", "peft", "accelerate")
        return None if absent else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Blocked
"""
CONSTITUTION = "name: t\nversion: 1\nprinciples:\n  - {id: kind, text: Kind.}\n"


@pytest.fixture
def run(tmp_path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.7, B: 0.2}}]")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "hi", "responses": ["a", "b"]}\n')

    def call(code):
        return subprocess.run([sys.executable, "-c", BLOCKED + code], cwd=tmp_path, capture_output=True, text=True)

    return call


@pytest.mark.parametrize(
    "arguments",
    [
        ["constitution", "check", "concise", "c.yaml"],
        ["constitution", "show", "concise"],
        ["constitution", "list"],
        ["label", "rows.jsonl", "--constitution", "c.yaml", "--critic", "script:s.yaml", "--out", "run"],
        ["init", "new"],
    ],
)
def test_a_command_needs_no_torch(arguments, run):
    done = run(f"sys.argv = ['rlaif', *{arguments}]\nfrom rlaif.cli import main\nmain()")
    assert done.returncode == 0, done.stderr


def test_neither_do_a_critic_a_store_and_a_report(run):
    done = run(
        "import rlaif\n"
        "critic = rlaif.Critic('c.yaml', 'script:s.yaml', store='v.sqlite')\n"
        "assert critic.compare('hi', 'a', 'b').p == 0.5\n"
        "rlaif.label('rows.jsonl', 'c.yaml', critic='script:s.yaml', out='run', store='v.sqlite')\n"
        "from pathlib import Path\n"
        "rlaif.write_report(Path('run'))\n"
        "rlaif.VerdictStore(Path('v.sqlite')).close()\n"
    )
    assert done.returncode == 0, done.stderr
