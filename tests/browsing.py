"""Headless Chromium for tests: one browser for all of them, and what a page did in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

BINARY, DRIVER = "chromium", "chromedriver"
AXE = Path(__file__).parents[1] / "build" / "axe" / "axe.min.js"
AXE_VERSION = "4.14.1"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)


@cache
def missing() -> str | None:
    """Why there is no browser, in one line; None where there is one."""
    for name in (BINARY, DRIVER):
        if shutil.which(name) is None:
            return f"no {name} on this machine; make install-browser installs it where apt-get can"
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed; make install"
    return None


@contextmanager
def chromium(width: int = 1280, height: int = 900) -> Iterator[Any]:
    """A browser with a new, empty profile. It notes console messages and requests (``console``, ``requests``)."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which(BINARY))
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(str(shutil.which(DRIVER))))
        try:
            yield driver
        finally:
            driver.quit()


def console(driver: Any) -> list[str]:
    """What the pages wrote to the console since this was last asked."""
    return [entry["message"] for entry in driver.get_log("browser")]


def requests(driver: Any) -> list[str]:
    """The URLs that were asked for since this was last asked, those inside the page (blob:, data:) left out."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith(("blob:", "data:", "chrome:"))]


def forget(driver: Any) -> None:
    """Begin anew to note console messages and requests."""
    for kind in ("browser", "performance"):
        driver.get_log(kind)


def reset(driver: Any) -> None:
    """Undo ``phone`` and ``scheme``."""
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def phone(driver: Any, width: int = 375, height: int = 800) -> None:
    """Have the page think that it is on a phone."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True}
    )


def scheme(driver: Any, name: str) -> None:
    """Light or dark."""
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": name}]})


def violations(driver: Any) -> list[str]:
    """What axe-core has against the page, each as its rule and the first place."""
    driver.execute_script(AXE.read_text(encoding="utf-8"))
    found = driver.execute_async_script("const done = arguments[arguments.length - 1]; axe.run(document).then(done)")
    return [f"{each['id']}: {each['nodes'][0]['target']} {each['nodes'][0]['failureSummary']}" for each in found["violations"]]


def fetch_axe() -> str | None:
    """Put axe-core into build/, from the npm registry. Why it could not be had, None where it is there."""
    if AXE.is_file():
        return None
    npm = shutil.which("npm")
    if npm is None:
        return "no npm on this machine"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([npm, "pack", "--silent", f"axe-core@{AXE_VERSION}"], cwd=folder, capture_output=True, text=True)
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or not archives:
            return f"npm could not fetch axe-core: {done.stderr.strip()[-200:]}"
        shutil.unpack_archive(archives[0], folder)
        AXE.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(folder) / "package" / AXE.name, AXE.with_suffix(".part"))
        AXE.with_suffix(".part").replace(AXE)
    return None


def install() -> None:
    """Have what the browser tests need, as far as this machine allows; say what could not be had."""
    if missing() is not None and hasattr(os, "geteuid") and os.geteuid() == 0 and (apt := shutil.which("apt-get")):
        for command in ([apt, "update", "-qq"], [apt, "install", "-y", "-qq", "chromium", "chromium-driver"]):
            done = subprocess.run(
                command, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, capture_output=True, text=True
            )
            if done.returncode:
                print(f"{' '.join(command)}: {done.stderr.strip()[-200:]}")
                break
    for what, why in (("chromium", missing()), ("axe-core", fetch_axe())):
        print(f"{what}: {why or 'there'}")


if __name__ == "__main__":
    install()
