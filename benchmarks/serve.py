"""What the server costs beside the engine that it serves, and whether it loses anything under load.

    python -m benchmarks.serve [--requests 384] [--many 100000] [--out benchmarks/serve.md]

First the lab's critic and constitution: comparisons by all seven principles in both orders, asked of the engine directly in
calls of 512 questions, as labelling does, then through ``rlaif serve`` by 1, 16 and 256 clients; each with an empty store. Then
many requests to a critic of rules, whose answers are known: the server's memory on the way, and whether each client got its own
answer. Then strange clients beside ordinary ones.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rlaif.api.judging import compared, row_of
from rlaif.critic.config import CriticConfig
from rlaif.critic.jury import Jury
from rlaif.critic.store import VerdictStore
from rlaif.lab.world import rows
from rlaif.serve.queue import BATCH_QUESTIONS

CONSTITUTION = Path("constitutions/lab.yaml")
RULES = """rules:
  - {when: "(?s)<response_a>.{0,3}good", choose: {A: 0.9, B: 0.1}}
  - {when: "(?s)<response_b>.{0,3}good", choose: {A: 0.2, B: 0.8}}
  - {choose: {A: 0.5, B: 0.5}}
"""
ONE_PRINCIPLE = "{name: one, version: 1, principles: [{id: kind, text: The response is kind.}]}"
CLIENTS = (1, 16, 256)


@contextmanager
def server(folder: Path, constitution: Path, critic: str, name: str) -> Iterator[tuple[str, int]]:
    """The URL and process id of a server with an empty store."""
    command = [sys.executable, "-m", "rlaif", "serve", "--constitution", str(constitution), "--critic", critic, "--port", "0"]
    command += ["--store", str(folder / f"{name}.sqlite"), "--read-timeout", "5"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found, "the server did not start"
        yield found[0], process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def load(url: str, clients: int, bodies: Path) -> dict[str, Any]:
    """What ``clients`` saw who sent ``bodies`` between them."""
    job = json.dumps({"url": url, "clients": clients, "bodies": str(bodies)})
    command = [sys.executable, "-m", "benchmarks.serve_load"]
    done = subprocess.run(command, input=job, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def bare(folder: Path, requests: list[dict[str, Any]], name: str) -> float:
    """Requests per second of the engine itself, in calls as large as the server's batches."""
    config = CriticConfig(models=("lab",), constitution=CONSTITUTION)
    engines = config.engines()
    judged = [row_of(number, each["prompt"], [each["a"], each["b"]]) for number, each in enumerate(requests, 1)]

    async def work() -> float:
        with VerdictStore(folder / f"{name}.sqlite") as store:
            jury = Jury(config.critics(engines, store))
            per_call = max(1, BATCH_QUESTIONS // (2 * len(jury.judge.constitution.principles)))
            warm = [row_of(1, "warm", ["up", "down"])]
            await compared(jury, warm)
            started = time.perf_counter()
            for start in range(0, len(judged), per_call):
                await compared(jury, judged[start : start + per_call])
            return len(judged) / (time.perf_counter() - started)

    return asyncio.run(work())


def lab_requests(many: int) -> list[dict[str, Any]]:
    """Comparisons of the lab's held-out rows, each of other texts."""
    found = []
    for row in rows(many):
        first, second = (response["text"] for response in row["responses"])
        found.append({"prompt": row["prompt"], "a": first, "b": second})
    return found


def write(path: Path, bodies: Iterable[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(body) + "\n" for body in bodies)
    return path


def memory(pid: int) -> float:
    """Resident MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found
    return int(found[1]) / 1024


def speed(folder: Path, many: int) -> tuple[float, float, list[dict[str, Any]]]:
    """The bare engine's speed before and after, and what each number of clients saw."""
    requests = lab_requests(many)
    bodies = {}
    for clients in CLIENTS:
        share = max(16, many * min(clients, 64) // 64)  # one client asks for so long that fewer requests tell as much
        bodies[clients] = write(folder / f"{clients}.jsonl", requests[:share])
    before, seen = bare(folder, requests, "before"), []
    for clients in CLIENTS:
        with server(folder, CONSTITUTION, "lab", f"clients-{clients}") as (url, _):
            load(url, 1, write(folder / "warm.jsonl", [{"prompt": "warm", "a": "up", "b": "down"}]))
            seen.append({"clients": clients, **load(url, clients, bodies[clients])})
    return before, bare(folder, requests, "after"), seen


def endurance(folder: Path, many: int, parts: int = 5) -> tuple[list[dict[str, Any]], list[float]]:
    """What 64 clients saw of ``many`` requests in ``parts``, and the server's memory after each."""
    (folder / "rules.yaml").write_text(RULES)
    (folder / "one.yaml").write_text(ONE_PRINCIPLE)
    seen, sizes = [], []
    with server(folder, folder / "one.yaml", f"script:{folder / 'rules.yaml'}", "many") as (url, pid):
        for part in range(parts):
            numbers = range(part * many // parts, (part + 1) * many // parts)
            pairs = ({"a": "good", "b": "bad"} if n % 2 else {"a": "bad", "b": "good"} for n in numbers)
            numbered = zip(numbers, pairs, strict=True)
            bodies = ({"prompt": f"question {n}", **pair, "better": bool(n % 2)} for n, pair in numbered)
            seen.append(load(url, 64, write(folder / "part.jsonl", bodies)))
            sizes.append(memory(pid))
    return seen, sizes


def strangers(folder: Path, many: int = 300, ordinary: int = 2000) -> tuple[dict[str, Any], dict[str, Any], float]:
    """What 16 clients saw alone, and beside as many connections that drip, lie or send rubbish; the server's memory after."""
    (folder / "rules.yaml").write_text(RULES)
    (folder / "one.yaml").write_text(ONE_PRINCIPLE)
    rubbish = [
        b"GET /health HT",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"POST /v1/compare HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        b"POST /v1/compare HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 65536,
        b"POST /v1/compare HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n[[[[[",
    ]
    with server(folder, folder / "one.yaml", f"script:{folder / 'rules.yaml'}", "strangers") as (url, pid):
        host, port = url.removeprefix("http://").split(":")

        def bodies(name: str) -> Path:
            numbered = ({"prompt": f"{name} {n}", "a": "good", "b": "bad", "better": True} for n in range(ordinary))
            return write(folder / f"{name}.jsonl", numbered)

        alone = load(url, 16, bodies("alone"))
        connections = []
        for number in range(many):
            connection = socket.create_connection((host, int(port)))
            connection.setblocking(False)
            with suppress(OSError):  # the server may have had enough already
                connection.send(rubbish[number % len(rubbish)])
            connections.append(connection)
        beside = load(url, 16, bodies("beside"))
        for connection in connections:
            connection.close()
        return alone, beside, memory(pid)


def page(args: argparse.Namespace, folder: Path) -> str:
    before, after, seen = speed(folder, args.requests)
    rate = (before + after) / 2
    lines = [
        "# What the server costs",
        "",
        f"Written by `python -m benchmarks.serve --requests {args.requests} --many {args.many}` on {os.cpu_count()} CPU cores, "
        "which the clients shared with the server and other work.",
        "",
        "## Against the bare engine",
        "",
        "The lab's critic, comparisons by seven principles in both orders: 14 questions a request, an empty store each time. "
        f"The engine alone, in calls of {BATCH_QUESTIONS} questions: {before:.2f} requests/s before, {after:.2f} afterwards.",
        "",
        "| clients | requests | requests/s | of the bare engine | p50 | p99 | lost |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in seen:
        each_rate = each["answers"] / each["seconds"]
        lost = each["answers"] - each["seen"].get("200", 0)
        lines.append(
            f"| {each['clients']} | {each['answers']} | {each_rate:.2f} | {each_rate / rate:.0%} | {each['p50']:.2f} s | "
            f"{each['p99']:.2f} s | {lost} |"
        )
    parts, sizes = endurance(folder, args.many)
    answers = sum(part["answers"] for part in parts)
    good = sum(part["seen"].get("200", 0) for part in parts)
    wrong = sum(part["seen"].get("wrong", 0) for part in parts)
    seconds = sum(part["seconds"] for part in parts)
    lines += [
        "",
        "## Many requests",
        "",
        f"{answers:,} comparisons by 64 clients, each of other texts, by a critic of rules: {good:,} answered, "
        f"{answers - good} lost, {wrong} with another's answer, {answers / seconds:,.0f} requests/s.",
        "",
        "| after | server's memory | p50 | p99 |",
        "|---|---|---|---|",
    ]
    done = 0
    for part, size in zip(parts, sizes, strict=True):
        done += part["answers"]
        lines.append(f"| {done:,} | {size:.0f} MiB | {part['p50'] * 1000:.0f} ms | {part['p99'] * 1000:.0f} ms |")
    alone, beside, size = strangers(folder)
    lines += [
        "",
        "## Strange clients",
        "",
        "16 ordinary clients alone, and beside 300 connections that stop in the middle of a request, send rubbish or say that "
        f"they will send 100 GB. Server's memory afterwards: {size:.0f} MiB.",
        "",
        "| | answered | p50 | p99 |",
        "|---|---|---|---|",
    ]
    for name, each in (("alone", alone), ("beside strangers", beside)):
        good = each["seen"].get("200", 0)
        lines.append(f"| {name} | {good} of {each['answers']} | {each['p50'] * 1000:.0f} ms | {each['p99'] * 1000:.0f} ms |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="What the server costs beside its engine.")
    parser.add_argument("--requests", type=int, default=384, help="comparisons of the lab's critic")
    parser.add_argument("--many", type=int, default=100_000, help="requests to the critic of rules")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/serve.md"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = page(args, Path(folder))
    args.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
