"""What the documents show is run as it stands there."""

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["README.md", "docs/python.md"])
def test_the_blocks_of_python_run(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, name, "exec"), {})
    assert capsys.readouterr().out


JSON = {"Content-Type": "application/json"}
SERVE = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")


def test_the_servers_blocks_of_shell_run(tmp_path):
    """The first ``rlaif serve`` is started on a free port and answers what each ``curl`` asks; the others read their flags."""
    blocks = "".join(re.findall(r"```bash\n(.*?)```", SERVE, re.DOTALL))
    first, *others = (
        line.replace("rlaif serve", f"exec {sys.executable} -m rlaif serve")
        for line in blocks.splitlines()
        if "rlaif serve" in line
    )
    asking = [shlex.split(line) for line in blocks.splitlines() if line.startswith("curl")]
    assert len(others) == 2 and len(asking) == 3
    for line in others:
        done = subprocess.run(
            ["bash", "-c", f"{line} --print-config"], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
    line = first.replace("--port 8200", "--port 0")
    process = subprocess.Popen(["bash", "-c", line], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        url = re.search(r"http://\S+", process.stdout.readline())[0]
        for _, _, address, _, body in asking:
            answer = httpx.post(address.replace("localhost:8200", url), content=body, headers=JSON, timeout=120)
            assert answer.status_code == 200 and {"p", "score", "order"} & answer.json().keys()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
