"""Clients for ``benchmarks.serve``, in a process of their own: each sends a request, waits for its answer, and sends the next.

Reads one JSON object from stdin (``url``, ``clients``, ``bodies``: a file of JSON lines), writes one to stdout.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEAD = "POST /v1/compare HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"


async def client(host: str, port: int, bodies: Iterator[tuple[Any, bytes]], seconds: list[float], seen: Counter[str]) -> None:
    """One client over one connection. seen: answers by status, and those of the wrong sign."""
    reader, writer = await asyncio.open_connection(host, port)
    for better, body in bodies:
        while True:
            started = time.perf_counter()
            writer.write(HEAD.format(host=host, length=len(body)).encode() + body)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if line)
            answer = json.loads(await reader.readexactly(int(headers["content-length"])))
            status = lines[0].split()[1]
            seen[status] += 1
            if status != "429":
                break
            await asyncio.sleep(float(headers["retry-after"]))
        seconds.append(time.perf_counter() - started)
        if status == "200" and better is not None and (answer["p"] > 0.5) != better:
            seen["wrong"] += 1
    writer.close()


def bodies_of(path: str) -> Iterator[tuple[Any, bytes]]:
    """Each line's request, and whether ``a`` is the better one where the line says so."""
    with Path(path).open(encoding="utf-8") as lines:
        for line in lines:
            request = json.loads(line)
            better = request.pop("better", None)
            yield better, json.dumps(request).encode()


async def main() -> None:
    job = json.load(sys.stdin)
    host, port = job["url"].removeprefix("http://").split(":")
    seconds, seen = list[float](), Counter[str]()
    bodies = bodies_of(job["bodies"])
    started = time.perf_counter()
    await asyncio.gather(*(client(host, int(port), bodies, seconds, seen) for _ in range(job["clients"])))
    taken = time.perf_counter() - started
    seconds.sort()
    at = {f"p{share}": seconds[min(len(seconds) - 1, len(seconds) * share // 100)] for share in (50, 99)}
    json.dump({"answers": len(seconds), "seconds": taken, "seen": dict(seen), **at}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
