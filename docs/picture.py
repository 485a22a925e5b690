"""``python docs/picture.py``: docs/report.png, the top of a report as a browser shows it. Needs Chromium.

120 rows of the lab, its policy's responses, judged by the lab's critic, with ten of the constitution's examples mixed in.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

PICTURE = Path(__file__).with_name("report.png")
WIDTH, HEIGHT, COLOURS = 1100, 760, 128
COMMANDS = (
    "lab rows --from policy --n 120 --out rows.jsonl",
    "label rows.jsonl --constitution lab --critic lab --canaries 10 --out run",
)
BROWSER = "chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --virtual-time-budget=5000".split()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            subprocess.run([sys.executable, "-m", "rlaif", *command.split()], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        shot, page = Path(folder) / "shot.png", (Path(folder) / "run" / "report.html").as_uri()
        size = [f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}"]
        subprocess.run([*BROWSER, *size, page], check=True, capture_output=True)
        picture = Image.open(shot).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        picture.save(PICTURE, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
