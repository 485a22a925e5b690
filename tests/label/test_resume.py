"""A run that is killed, at any moment and however often, is continued by the same command and ends with the same bytes."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

CONSTITUTION = """
name: resume
version: 1
principles:
  - {id: polite, text: The response is polite.}
  - {id: harmless, text: The response does not help anyone to hurt themselves or others.}
"""


def command(folder: Path, critic: str, out: str, store: str) -> list[str]:
    return [
        *(sys.executable, "-m", "rlaif", "label", str(folder / "rows.jsonl")),
        *("--constitution", str(folder / "c.yaml"), "--critic", critic),
        *("--out", str(folder / out), "--store", str(folder / store)),
    ]


def write_rows(folder: Path, n: int) -> None:
    rng = random.Random(0)
    words = "please thank you sure never idiot the answer is seven source look it up carefully".split()

    def text() -> str:
        return " ".join(rng.choices(words, k=rng.randint(2, 12)))

    with (folder / "rows.jsonl").open("w") as file:
        for _ in range(n):
            file.write(json.dumps({"prompt": text(), "responses": [text(), text()]}) + "\n")
        file.write("{broken\n")
    (folder / "c.yaml").write_text(CONSTITUTION)


def run_and_kill(arguments: list[str], after: float, progress: Path) -> bool:
    """Start the command, wait until it has begun to ask, then ``after`` seconds more, and kill it. True when it was killed."""
    size = progress.stat().st_size if progress.exists() else 0
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if (progress.stat().st_size if progress.exists() else 0) != size:
            break
        time.sleep(0.005)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    return process.returncode != 0


def check_same_bytes(folder: Path, critic: str, times: int, longest: float) -> None:
    subprocess.run(command(folder, critic, "calm", "calm.sqlite"), check=True, capture_output=True)
    arguments = command(folder, critic, "killed", "killed.sqlite")
    rng, kills = random.Random(1), 0
    for _ in range(times):
        if not run_and_kill(arguments, rng.uniform(0, longest), folder / "killed.sqlite-wal"):
            for path in folder.glob("killed*sqlite*"):  # finished before it was killed: start over, kills so far count
                path.unlink()
            continue
        kills += 1
    assert kills >= times // 2
    subprocess.run(arguments, check=True, capture_output=True)
    for name in ("preferences.jsonl", "failures.jsonl"):
        assert (folder / "killed" / name).read_bytes() == (folder / "calm" / name).read_bytes()
    assert not list((folder / "killed").glob("*.part"))


def test_killed_ten_times_with_a_slow_script(tmp_path):
    write_rows(tmp_path, 1200)
    (tmp_path / "s.yaml").write_text(
        "delay: 0.05\n"
        "rules: [{when: 'please', choose: {A: 0.7, B: 0.2}}, {fail: too_long, rate: 0.05}, {choose: {A: 0.4, B: 0.5}}]"
    )
    check_same_bytes(tmp_path, f"script:{tmp_path / 's.yaml'}", times=10, longest=0.3)


def test_killed_three_times_with_a_model(tmp_path):
    write_rows(tmp_path, 500)
    check_same_bytes(tmp_path, "lab", times=3, longest=2.0)
