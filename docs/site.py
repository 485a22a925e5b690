"""What mkdocs.yml needs beside itself: the site's pages are the repository's files, in the repository's layout.

So a link that works in the repository works on the site, and pages that commands write (benchmarks/) are on it too.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md CHANGELOG.md CONTRIBUTING.md LICENSE docs/**/*.md docs/*.png benchmarks/*.md benchmarks/*.svg benchmarks/*.py "
    "examples/**/* prompts/*.yaml constitutions/*.yaml rlaif/compare/*.yaml"
).split()


def on_config(config: Any) -> Any:
    """Copy the pages into build/pages, where they are read from, and list every benchmark."""
    pages = ROOT / "build" / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    for path in sorted({path for pattern in PAGES for path in ROOT.glob(pattern) if path.is_file()}):
        if "__pycache__" not in path.parts:
            copy = pages / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    config.docs_dir = str(pages)
    results = next(section["Results"] for section in config.nav if "Results" in section)
    results += [f"benchmarks/{path.name}" for path in sorted(ROOT.glob("benchmarks/*.md"))]
    return config
