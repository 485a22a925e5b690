"""Runs that are killed: does the same command, given again until it is done, end in the same bytes? Writes the section "Kills"
of benchmarks/faults.md.

    python -m benchmarks.kills [--kills 10] [--only NAME …] [--out benchmarks/faults.md]

Each command runs once undisturbed, with a store of its own. Then it is started, killed (``SIGKILL``) at a moment drawn from the
first half of its work's length, and started again, until it was killed so many times; a run that ends before its moment counts
as none, and begins anew. What the last, undisturbed start then leaves is held against the first.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from rlaif.lab import world

KILLS = "## Kills"
LAB = Path(__file__).parents[1] / "constitutions" / "lab.yaml"
JUDGING = ("--constitution", str(LAB), "--critic", "lab", "--store", "{out}.sqlite", "--out", "{out}")
POLICY = ("--model", "lab:policy", "--out")
STEPS = ("--steps", "8", "--save-every", "1", "--batch-size", "16", "--max-tokens", "32", "--eval-prompts", "8")


class Case(NamedTuple):
    """arguments: of the command. begun: the file that appears when it has begun. results: what it leaves."""

    arguments: tuple[str, ...]
    begun: str
    results: tuple[str, ...]


CASES = {
    "label": Case(("label", "rows.jsonl", *JUDGING), "run.json", ("preferences.jsonl", "failures.jsonl")),
    "sample": Case(
        ("sample", "prompts.jsonl", *POLICY, "{out}/samples.jsonl", "--max-tokens", "64", "--store", "{out}.sqlite"),
        "samples.jsonl.part",
        ("samples.jsonl", "samples.failures.jsonl"),
    ),
    "revise": Case(
        ("revise", "few.jsonl", *JUDGING, "--max-tokens", "64"),
        "run.json",
        ("preferences.jsonl", "rejected.jsonl", "revisions.jsonl", "sft.jsonl", "failures.jsonl"),
    ),
    "train dpo": Case(
        ("train", "dpo", "pairs", *POLICY, "{out}", "--max-steps", "60", "--save-every", "3", "--batch-size", "8"),
        "run.json",
        ("model/model.safetensors",),
    ),
    "train ppo": Case(
        ("train", "ppo", "prompts.jsonl", *POLICY, "{out}", "--reward", "gold", *STEPS),
        "run.json",
        ("model/model.safetensors",),
    ),
}


class Outcome(NamedTuple):
    kills: int
    starts: int
    same: bool
    calm_seconds: float
    killed_seconds: float


def start(folder: Path, case: Case, out: str) -> subprocess.Popen[bytes]:
    given = [argument.format(out=out) for argument in case.arguments]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "rlaif", *given], cwd=folder, stdout=log, stderr=log)


def wait_begun(folder: Path, case: Case, out: str, process: subprocess.Popen[bytes], since: float) -> float:
    """Seconds until the command has begun its work, or ended."""
    path, began = folder / out / case.begun, time.monotonic()
    while process.poll() is None and not (path.exists() and path.stat().st_mtime >= since):
        time.sleep(0.01)
    return time.monotonic() - began


def finish(folder: Path, process: subprocess.Popen[bytes]) -> None:
    if process.wait():
        raise SystemExit((folder / "log").read_text(errors="replace")[-3000:])


def measure(folder: Path, case: Case, kills: int, seed: int) -> Outcome:
    rng, began = random.Random(seed), time.monotonic()
    calm = start(folder, case, "calm")
    opening = wait_begun(folder, case, "calm", calm, 0.0)
    finish(folder, calm)
    calm_seconds = time.monotonic() - began
    done = starts = 0
    began = time.monotonic()
    while done < kills:
        starts += 1
        process = start(folder, case, "killed")
        wait_begun(folder, case, "killed", process, time.time())
        try:
            process.wait(rng.uniform(0.0, (calm_seconds - opening) / 2))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            done += 1
            continue
        finish(folder, process)
        shutil.rmtree(folder / "killed")  # it was done before its moment
        for path in folder.glob("killed.sqlite*"):
            path.unlink()
    finish(folder, start(folder, case, "killed"))
    same = all((folder / "calm" / name).read_bytes() == (folder / "killed" / name).read_bytes() for name in case.results)
    return Outcome(done, starts + 1, same, calm_seconds, time.monotonic() - began)


def write_inputs(folder: Path) -> None:
    rows = list(world.rows(400, 11, "heldout", 2))
    for name, some in (("rows", rows[:120]), ("few", rows[:40]), ("prompts", [{"prompt": row["prompt"]} for row in rows])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some), encoding="utf-8")
    labelled = [sys.executable, "-m", "rlaif", "label", "rows.jsonl", *(part.format(out="pairs") for part in JUDGING)]
    subprocess.run(labelled, cwd=folder, check=True, capture_output=True)


def section(outcomes: dict[str, Outcome], command: str) -> str:
    lines = [
        f"| `{name}` | {one.kills} | {one.starts} | {'yes' if one.same else '**no**'} | {one.calm_seconds:.0f} s | "
        f"{one.killed_seconds:.0f} s |"
        for name, one in outcomes.items()
    ]
    kills = sum(one.kills for one in outcomes.values())
    equal = sum(one.same for one in outcomes.values())
    return f"""

`{command}`

{kills} times `kill -9` at a moment drawn from the first half of its work's length, then the same command again; {equal} of
{len(outcomes)} commands end in the files that one undisturbed run writes, byte for byte: the records of `label`, `sample` and
`revise`, the weights of `train`. The times are of a machine that was busy; those with kills have the imports of every start.

| command | kills | starts | same bytes | undisturbed | with the kills |
|---|---|---|---|---|---|
{chr(10).join(lines)}
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=10, help="of each command")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("faults.md"))
    given = parser.parse_args()
    outcomes = {}
    with tempfile.TemporaryDirectory() as name:
        write_inputs(Path(name))
        for number, case in enumerate(given.only):
            outcomes[case] = measure(Path(name), CASES[case], given.kills, number)
            print(case, outcomes[case], flush=True)
            for path in Path(name).glob("calm*"), Path(name).glob("killed*"):
                for one in path:
                    shutil.rmtree(one) if one.is_dir() else one.unlink()
    page = (
        given.out.read_text(encoding="utf-8") if given.out.is_file() else "# Servers in trouble, and runs that are killed\n\n"
    )
    command = f"python -m benchmarks.kills --kills {given.kills}"
    given.out.write_text(page.partition(KILLS)[0] + KILLS + section(outcomes, command), encoding="utf-8")


if __name__ == "__main__":
    main()
