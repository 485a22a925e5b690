"""Servers in trouble: what becomes of the rows when 30% of the replies are wrong in one way, and how long it takes.

    python -m benchmarks.faults [--rows 500] [--only NAME …] [--out benchmarks/faults.md]

A server on loopback answers each request after .2 s with what its content determines, or with a fault; which requests meet
one is drawn by their content. Verdicts are asked with `rlaif label` (comparisons, both orders; `--reasons` has a rationale
before each), texts with `rlaif sample` (three to a prompt). Every run is held against one without faults: *invented* counts
records that the server did not say.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from rlaif.errors import RunFailed
from rlaif.label.config import LabelConfig
from rlaif.label.run import run_label
from rlaif.sample.config import SampleConfig
from rlaif.sample.run import run_sample
from rlaif.settings import configure
from tests.faults.server import FAULTS, FaultServer, serving

DELAY, HELD = 0.2, 300.0
SAMPLED = ("disordered", "fewer choices", "null content", "null content, reasoning", "refusal")
COMMANDS = {**dict.fromkeys(FAULTS, "label"), **dict.fromkeys(SAMPLED, "sample"), "cut": "label --reasons"}
CONSTITUTION = "name: faults\nversion: 1\nprinciples:\n  - {id: kind, text: The response is kind.}\n"
KILLS = "## Kills"


def run(folder: Path, command: str, faults: tuple[str, ...], name: str) -> dict[str, Any]:
    """Records by row, rows listed as failed, requests, seconds."""
    source, store, out = str(folder / "rows.jsonl"), folder / f"{name}.sqlite", folder / name
    with serving(FaultServer(faults, delay=DELAY, held=HELD)) as server:
        began = time.monotonic()
        try:
            if command == "sample":
                written = out / "rows.jsonl"
                sampled = configure(SampleConfig, source=source, model=server.url, out=written, samples=3, store=store)
                run_sample(sampled)
                listed = sampled.failures
            else:
                settings: dict[str, Any] = {"constitution": folder / "c.yaml", "critic": server.url, "max_failure_rate": 1.0}
                settings |= {"store": store, "reasons": command == "label --reasons"}
                run_label(configure(LabelConfig, source=source, out=out, **settings))
                written, listed = out / "preferences.jsonl", out / "failures.jsonl"
        except RunFailed as error:
            return {"error": str(error)}
        seconds = time.monotonic() - began
    records = {record["id"].partition(":")[0]: record for record in read(written)}
    failed = {f"r{failure['row'] - 1}" for failure in read(listed)}
    return {"records": records, "listed": failed, "requests": server.asked.total(), "seconds": seconds, "met": server.said}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def row(name: str, found: dict[str, Any], truth: dict[str, Any], rows: int) -> str:
    if "error" in found:
        return f"| {name} | the run ended: {found['error']} | | | | |"
    same = sum(found["records"].get(key) == record for key, record in truth["records"].items())
    invented = sum(truth["records"].get(key) != record for key, record in found["records"].items())
    lost = rows - len(found["records"].keys() | found["listed"])
    share = f"| {name} | {same / rows:.1%} | {len(found['listed']) / rows:.1%} | {invented} | {lost} "
    slower = f"{found['seconds'] / truth['seconds']:.1f}× ({found['seconds']:.0f} s)"
    return share + f"| {found['requests'] / truth['requests']:.2f} | {slower} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/faults.md"))
    given = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "c.yaml").write_text(CONSTITUTION)
        rows = [{"id": f"r{i}", "prompt": f"p{i}", "responses": [f"a{i}", f"b{i}"]} for i in range(given.rows)]
        (folder / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
        run(folder, "label", (), "warm-up")
        truth = {command: run(folder, command, (), f"{command}-honest") for command in ("label", "label --reasons", "sample")}
        every = tuple(fault for fault in FAULTS if fault not in ("hang", "drip"))
        for fault in [*FAULTS, "all but hang and drip"]:
            if given.only and fault not in given.only:
                continue
            for command in [COMMANDS[fault]] if fault in FAULTS else truth:
                faults = (fault,) if fault in FAULTS else tuple(name for name in every if (name, command) != ("cut", "sample"))
                found = run(folder, command, faults, f"{command}-{fault}".replace(" ", "-"))
                lines.append(row(f"{fault} ({command})", found, truth[command], given.rows))
                print(lines[-1], flush=True)
    kills = given.out.read_text(encoding="utf-8").partition(KILLS)[2] if given.out.is_file() else ""
    honest = ", ".join(f"`{command}` {one['seconds']:.1f} s" for command, one in truth.items())
    given.out.write_text(PAGE.format(rows=given.rows, honest=honest, table="\n".join(lines), kills=KILLS + kills or "\n"))


PAGE = """# Faults

## Servers

`python -m benchmarks.faults --rows {rows}`: one fault in 30% of the replies, {rows} rows. Without faults: {honest}. A row is
*labelled* when its record is, field by field, that of the run without faults; *listed* when `failures.jsonl` names it with a
reason. Requests and wall time are multiples of the run without faults; a reply takes .2 s, so the pauses before further
tries (.5 s, doubling, up to 8 s) are most of the time. A refusal and a text that was cut are replies as they should be: they
are believed at once, and listed; a sampled response may be cut at its token limit, so in `sample` that is no fault.

| fault (command) | labelled | listed | invented | lost | requests | wall time |
|---|---|---|---|---|---|---|
{table}

{kills}"""

if __name__ == "__main__":
    main()
