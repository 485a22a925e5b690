"""The run folder's README.md: a dataset card, which ``datasets.load_dataset`` also reads to find the data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rlaif.data.columns import Record, meanings
from rlaif.data.records import RECORDS, PreferenceRecord
from rlaif.errors import printable


def card(run: Mapping[str, Any], quality: str, findings: Sequence[str] = (), *, scored: bool = False) -> str:
    """The card's Markdown.

    run: the content of ``run.json``. quality: the run's quality table in Markdown (``rlaif.evaluate.quality.as_markdown``).
    findings: what makes the labels doubtful (``rlaif.evaluate.findings``), a text each. scored: whether the run wrote
    ``scores.jsonl``.
    """
    constitution, counts, config = run.get("constitution", {}), run.get("counts", {}), run.get("config", {})
    exports = [name for name in config.get("export") or () if name in RECORDS]  # the others are other tools' files
    subsets = ["preferences", *(["scores"] if scored else []), *exports]
    description = constitution.get("description")
    parts = [
        _front_matter(subsets, run.get("origin") or {}),
        f"# Preferences by the constitution {_code(constitution.get('name', '?'))}",
        *([_line(description)] if description else []),
        *(["**Read this before you use the labels:**", "\n".join(f"- {_line(text)}" for text in findings)] if findings else []),
        f"The critic {_code(run.get('critic', '?'))} {run.get('template', {}).get('action', 'compared responses')} "
        f"by the constitution {_code(constitution.get('name', '?'))} (digest {_code(constitution.get('digest', '?'))}). "
        "These are one model's opinions, not people's.",
        f"{counts.get('rows_in', 0):,} rows went in, of which {counts.get('rows_failed', 0):,} could not be used; "
        f"{counts.get('rows_out', 0):,} preferences came out of {counts.get('verdicts', 0):,} verdicts; "
        f"{counts.get('failed', 0):,} more verdicts failed. A failed verdict is left out, never filled in; "
        "`failures.jsonl` lists each with its reason.",
        *([_origin(run["origin"])] if run.get("origin") else []),
        *([_revised(run["revisions"], run.get("reviser", "?"))] if "revisions" in run else []),
        "## Quality",
        quality,
        "## Make it again",
        f"```bash\n{run.get('command', '').replace('```', '')}\n```",
        "## Read it",
        '```python\nfrom datasets import load_dataset\n\nload_dataset("path/to/this/folder")\n```',
        "## Columns",
        _columns(PreferenceRecord),
        *(part for name in subsets[1:] for part in (f"Of the subset `{name}`:", _columns(RECORDS[name]))),
        "Every other column comes from the source, as `row_NAME` where the name was taken.",
    ]
    return printable("\n\n".join(parts) + "\n")


def _revised(found: Mapping[str, Any], reviser: str) -> str:
    return (
        f"Each `chosen` is a revision of its `rejected`, written by {_code(reviser)} after a critique by the principles in "
        f"`rounds`. Of {found['responses']:,} responses, {found['failed']:,} have no revision and {found['unchanged']:,} came "
        f"back as they were; the critic was asked about the others: {found['confirmed']:,} confirmed, "
        f"{found['rejected']:,} rejected (`rejected.jsonl`), {found['unjudged']:,} without a verdict. The subset `sft` holds "
        "the confirmed revisions alone."
    )


def _origin(origin: Mapping[str, str]) -> str:
    known = "dataset" in origin
    texts = f"The prompts and responses come from {_code(origin['dataset'])}" if known else "The source's licence"
    if "licence" not in origin:
        return f"{texts}, which states no licence."
    return f"{texts}{', whose licence' if known else ''} is {_code(origin['licence'])}; it holds for these texts too."


def _front_matter(subsets: list[str], origin: Mapping[str, str]) -> str:
    stated = {"license": origin.get("licence"), "source_datasets": [origin["dataset"]] if "dataset" in origin else None}
    lines = ["---", *(f"{name}: {json.dumps(value)}" for name, value in stated.items() if value)]
    lines += ["tags:", "- preference", "- rlaif", "configs:"]
    for number, name in enumerate(subsets):
        lines += [f"- config_name: {name}", f"  data_files: {name}.parquet", *(["  default: true"] if number == 0 else [])]
    return "\n".join([*lines, "---"])


def _columns(kind: type[Record]) -> str:
    return "\n".join(f"- `{name}`: {meaning}" for name, meaning in meanings(kind).items())


def _line(text: Any) -> str:
    return " ".join(str(text).split())


def _code(value: Any) -> str:
    """As inline code: text from a run may hold backticks or line breaks."""
    text = _line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).replace("`", "'")
    return f"`{text}`"
