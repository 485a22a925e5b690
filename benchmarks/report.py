"""How usable the report of many pairs is, in headless Chromium, measured inside the page.

    python -m benchmarks.report [--pairs 100000] [--out benchmarks/report.md]

A label run is made up: each pair has a prompt of about 30 words, two responses of 40 to 160 words, four principles' verdicts in
both orders. Main-thread time is the browser's own count of the CPU time that its tasks took until the list and its first pair
stood there. A filter's time is from when it begins until the list shows what it found; the longest task is how long the page
does not answer.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from rlaif.data.write import dumps
from rlaif.report.page import write_report
from tests import browsing
from tests.reference.fake_run import turn, write_run

PRINCIPLES = ("helpful", "honest", "harmless", "concise")
ACTIONS = {
    "show: position flips": ("show", "flips"),
    "show: disagreements with gold": ("show", "disagreements"),
    "principle: honest": ("principle", "honest"),
    "sort: least sure first": ("sort", "unsure"),
    "sort: largest position gap first": ("sort", "gap"),
    "search: one word (first)": ("search", "{rare}"),
    "search: two words": ("search", "{rare} {common}"),
    "search: one word again": ("search", "{rare}"),
    "search: a phrase": ("search", '"{phrase}"'),
}
_WATCH = """
window.longest = 0;
new PerformanceObserver((seen) => {
  for (const task of seen.getEntries()) window.longest = Math.max(window.longest, task.duration);
}).observe({ type: "longtask", buffered: true });
"""


class Filtered(NamedTuple):
    """cpu: of the main thread, drawing included; took: until the list stood; longest: of the tasks; all in ms. found: pairs."""

    cpu: float
    took: float
    longest: float
    found: str


def vocabulary(draw: random.Random) -> list[str]:
    """Words of 2 to 10 letters, the first of them far more common than the last (Zipf)."""
    return ["".join(draw.choices("etaoinshrdlucmfwyp", k=draw.randint(2, 10))) for _ in range(8000)]


def records(n: int, words: list[str], draw: random.Random) -> Iterator[dict[str, Any]]:
    weights = [*accumulate(1 / (rank + 10) for rank in range(len(words)))]

    def text(least: int, most: int) -> str:
        return " ".join(draw.choices(words, cum_weights=weights, k=draw.randint(least, most)))

    for number in range(1, n + 1):
        verdicts = []
        for name in PRINCIPLES:
            p = min(0.99, max(0.01, draw.gauss(0.6, 0.2)))
            gap = draw.gauss(0.05, 0.2) * min(p, 1 - p)
            verdicts.append({"id": name, "p": round(p, 6), "gap": round(gap, 6), "weight": 1.0, "mass": 0.98, "cut": 0})
        yield {
            "id": f"{number}:0-1",
            "prompt": [turn("user", text(20, 40))],
            "chosen": [turn("assistant", text(40, 160))],
            "rejected": [turn("assistant", text(40, 160))],
            "p_chosen": round(draw.uniform(0.5, 1.0), 6),
            "principles": verdicts,
            "row": number,
            "chosen_index": 0,
            "rejected_index": 1,
            "gold": [{"id": "overall", "margin": draw.choice((-1.0, 1.0, 1.0))}],
        }


def measure(n: int, folder: Path) -> tuple[dict[str, float], dict[str, Filtered]]:
    """The figures of writing and opening, and what each filter took."""
    draw = random.Random(0)
    words = vocabulary(draw)
    run = write_run(folder / "run", [])
    with (run / "preferences.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(dumps(record) + "\n" for record in records(n, words, draw))
    began = time.monotonic()
    page = write_report(run)
    figures = {
        "preferences.jsonl, MB": (run / "preferences.jsonl").stat().st_size / 1e6,
        "write the page, s": time.monotonic() - began,
        "peak memory of that, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "the page, MB": page.stat().st_size / 1e6,
    }
    with browsing.chromium() as driver:
        driver.set_page_load_timeout(300)
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _WATCH})
        driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        before = tasks(driver)
        began = time.monotonic()
        driver.get(page.as_uri())
        wait(driver, "return document.querySelector('#pair h3') !== null")
        figures["open it until it can be used, s"] = time.monotonic() - began
        figures["main thread until then, s"] = tasks(driver) - before
        figures["longest task until then, ms"] = driver.execute_script("return window.longest")
        wait(driver, "return document.getElementById('pairs').dataset.searchable === 'yes'")
        figures["until the search is ready too, s"] = time.monotonic() - began
        texts = {"rare": words[2000], "common": words[5], "phrase": f"{words[0]} {words[1]}"}
        filters = {}
        for name, (control, value) in ACTIONS.items():
            filters[name] = act(driver, control, value.format(**texts))
            clear(driver)
        figures["rows in the document"] = len(driver.find_elements("css selector", "#pairs .row"))
    return figures, filters


def act(driver: Any, control: str, value: str) -> Filtered:
    """Change a control as a user does."""
    before, event = tasks(driver), "input" if control == "search" else "change"
    driver.execute_script(
        "window.longest = 0; const list = document.getElementById('pairs'); delete list.dataset.took;"
        "const control = document.getElementById(arguments[0]); control.value = arguments[1];"
        "control.dispatchEvent(new Event(arguments[2]))",
        control,
        value,
        event,
    )
    wait(driver, "return document.getElementById('pairs').dataset.took !== undefined")
    time.sleep(0.3)
    took, longest, told = driver.execute_script(
        "return [document.getElementById('pairs').dataset.took, window.longest, document.getElementById('count').textContent]"
    )
    return Filtered(1e3 * (tasks(driver) - before), float(took), float(longest), told.split()[0])


def clear(driver: Any) -> None:
    for control, usual in (("search", ""), ("show", "all"), ("principle", ""), ("sort", "source")):
        driver.execute_script(f"document.getElementById('{control}').value = arguments[0]", usual)
    act(driver, "show", "all")


def tasks(driver: Any) -> float:
    """CPU seconds of the page's main thread."""
    metrics = {each["name"]: each["value"] for each in driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]}
    return float(metrics["TaskDuration"])


def wait(driver: Any, script: str, seconds: float = 300) -> None:
    ends = time.monotonic() + seconds
    while not driver.execute_script(script):
        if time.monotonic() > ends:
            raise TimeoutError(script)
        time.sleep(0.02)


def markdown(command: str, n: int, figures: dict[str, float], filters: dict[str, Filtered]) -> str:
    rows = [(name, *(f"{ms:,.0f}" for ms in each[:3]), each.found) for name, each in filters.items()]
    lines = [
        "# The report of many pairs",
        "",
        f"`{command}`: {n:,} pairs, headless Chromium on two shared cores.",
        "",
        "| | |",
        "|---|---:|",
        *(f"| {name} | {value:,.2f} |" if value < 100 else f"| {name} | {value:,.0f} |" for name, value in figures.items()),
        "",
        "| filter | main thread, ms | until the list stands, ms | longest task, ms | found |",
        "|---|---:|---:|---:|---:|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        "Main-thread time is CPU time, by the browser's own count (TaskDuration); all others are wall time. Texts are unpacked",
        "for the search in pieces while the page can be used; a search before that waits for them, and goes in pieces too. The",
        f"browser lists no task shorter than 50 ms: 0. The machine's load was {os.getloadavg()[1]:.0f}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/report.md"))
    given = parser.parse_args()
    if why := browsing.missing():
        raise SystemExit(why)
    with tempfile.TemporaryDirectory() as folder:
        figures, filters = measure(given.pairs, Path(folder))
    text = markdown(f"python -m benchmarks.report --pairs {given.pairs}", given.pairs, figures, filters)
    given.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
