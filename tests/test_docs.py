"""What the documents show is run as it stands there; the tutorials and the notebook by ``make test-docs``."""

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


TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
EXIT = re.compile(r"# exit: (\d) or (\d)")
"""What a line says where its command may find something: otherwise it exits with 0."""


def blocks(page, language):
    """The blocks of a page in one language; those that it titles are files to save."""
    found = re.findall(rf"```{language}(?: title=\"([^\"]+)\")?\n(.*?)```", page, re.DOTALL)
    return [(title, text) for title, text in found]


@pytest.mark.docs
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs(path, rlaif, tmp_path, monkeypatch, capsys):
    """Its files are saved, then its commands and its Python run, in one folder of their own. Those that need more than this
    machine are in blocks without a language."""
    page = path.read_text(encoding="utf-8")
    for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL):
        (tmp_path / re.search(r"Save this as `([\w.]+)`", page)[1]).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    ran = 0
    for title, text in blocks(page, "python"):
        if title:
            (tmp_path / title).write_text(text, encoding="utf-8")
        else:
            exec(compile(text, str(path), "exec"), {})
            ran += 1
    for line in re.sub(r"\\\n", "", "".join(re.findall(r"```bash\n(.*?)```", page, re.DOTALL))).splitlines():
        allowed = {int(code) for code in EXIT.search(line).groups()} if EXIT.search(line) else {0}
        words = shlex.split(line, comments=True)
        assert words[0] == "rlaif"
        code, _, err = rlaif(*words[1:])
        assert code in allowed, f"{line}\n{err}"
        ran += 1
    assert ran or path.stem == "scale"


@pytest.mark.docs
def test_the_notebook_runs(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "examples" / "notebook.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [str(cell.outputs) for cell in notebook.cells if cell.cell_type == "code" and cell.outputs]
    assert len(shown) >= 4 and "p_chosen" in "".join(shown)


def test_every_page_is_on_the_site():
    """mkdocs says so too, more slowly; links are left to it."""
    listed = set(re.findall(r"docs/[\w/]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    assert listed == {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")}
