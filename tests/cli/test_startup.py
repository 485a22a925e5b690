"""Help answers at once: nothing heavy is imported before a command needs it."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "transformers",
    "numpy",
    "pandas",
    "pyarrow",
    "datasets",
    "vllm",
    "matplotlib",
    "jsonschema",
    "httpx",
    "sqlite3",
}
PROBE = """
import json, sys
sys.argv = ["rlaif", *{arguments}]
from rlaif.cli import main
try:
    main()
except SystemExit as end:
    print(json.dumps([end.code or 0, sorted({heavy} & set(sys.modules))]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["label", "--help"],
        ["revise", "--help"],
        ["report", "--help"],
        ["lab", "rows", "--help"],
        ["evaluate", "agreement", "--help"],
        [],
    ],
)
def test_help_imports_nothing_heavy(arguments):
    probe = PROBE.format(arguments=arguments, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    code, imported = json.loads(done.stderr.splitlines()[-1])
    assert imported == []
    assert code == (0 if arguments else 2)
    assert "Usage" in done.stdout + done.stderr
