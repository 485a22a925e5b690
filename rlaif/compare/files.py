"""What the steps read that no command writes: a seed's prompts, known labels, parts of a constitution, the two-model mix."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from rlaif.compare.config import CompareConfig
from rlaif.constitution.load import load_constitution
from rlaif.constitution.types import Principle
from rlaif.constitution.write import write as write_constitution
from rlaif.data.read import named_columns, read_rows
from rlaif.data.records import PreferenceRecord, read_records
from rlaif.data.rows import Row
from rlaif.data.write import JsonlWriter, atomic_write
from rlaif.errors import RunFailed, UsageError
from rlaif.lab.gold import gold
from rlaif.lab.questions import Split
from rlaif.lab.world import rows as lab_rows
from rlaif.settings import settings_of


def read_source(config: CompareConfig) -> list[Row]:
    """The usable rows, one for each prompt; none in the lab, which draws its own.

    Raises UsageError where they cannot be read, or where nothing would be left to train on.
    """
    if config.in_lab:
        return []
    read = read_rows(config.source, config.limit, named_columns(config.columns))
    by_prompt = {repr(row.conversation): row for row in read if isinstance(row, Row)}
    if len(by_prompt) < config.held_out + 2:
        raise UsageError(
            f"{config.source}: {len(by_prompt)} prompts, of which --held-out {config.held_out} are held out; at least "
            "2 more are needed, to train on"
        )
    return list(by_prompt.values())


def is_paired(rows: Sequence[Row]) -> bool:
    """Whether every row brings a pair with a known preference."""
    return bool(rows) and all(len(row.responses) == 2 and row.preferred is not None for row in rows)


def is_paired_file(path: Path) -> bool:
    """The same of a file that ``write_rows`` has written."""
    return "chosen" in next(read_jsonl(path))


def write_rows(config: CompareConfig, rows: Sequence[Row], folder: Path, seed: int) -> None:
    """``rows.jsonl`` to train on and ``heldout.jsonl``, drawn by the seed; no prompt is in both."""
    paired = is_paired(rows)
    wanted = config.budget // (2 if paired else config.drawing.samples)
    if config.in_lab:
        parts: tuple[tuple[int, Split], ...] = ((wanted, "train"), (config.held_out, "heldout"))
        training, held_out = (
            [{"id": row["id"], "prompt": row["prompt"], "tags": row["tags"]} for row in lab_rows(n, seed, split, responses=0)]
            for n, split in parts
        )
    else:
        drawn = list(rows)
        random.Random(f"rows {seed}").shuffle(drawn)
        held_out = [_bare(row) for row in drawn[: config.held_out]]
        training = [_pair(row) if paired else _bare(row) for row in islice(drawn, config.held_out, config.held_out + wanted)]
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("heldout", held_out), ("rows", training)):
        _write(folder / f"{name}.jsonl", content)


def _bare(row: Row) -> dict[str, Any]:
    return {**row.extra, "id": row.id, "prompt": list(row.conversation)}


def _pair(row: Row) -> dict[str, Any]:
    assert row.preferred is not None
    chosen, rejected = row.responses[row.preferred], row.responses[1 - row.preferred]
    return {**_bare(row), "chosen": list(chosen.turns), "rejected": list(rejected.turns)}


def responses(config: CompareConfig, settings: Mapping[str, Any], out: Path, seed: int) -> dict[str, float]:
    """The rows that are labelled: in the lab with gold beside each response, which the critic does not see."""
    lines = (json.loads(line) for line in Path(settings["source"]).read_text(encoding="utf-8").splitlines())
    _write(out, map(_with_gold, lines) if config.in_lab else lines)
    return {}


def _with_gold(row: dict[str, Any]) -> dict[str, Any]:
    """A sampled row; in samples a prompt is a list of messages."""
    question = row["prompt"][-1]["content"]
    return {**row, "responses": [{"text": text, "gold": gold(question, text)} for text in row["responses"]]}


def known(config: CompareConfig, settings: Mapping[str, Any], out: Path, seed: int) -> dict[str, float]:
    """The critic's pairs with the known labels, for certain; ties are left out.

    noisy: labels drawn at random are turned around, as many as make them agree with what is known exactly as often as the
    critic's do. Returns their number (``known_labels``) and the share that is right (``agreement``); without ``noisy`` that of
    the critic's.

    Raises RunFailed where no pair has a known label.
    """
    records = read_records(Path(settings["source"]) / "preferences.jsonl", PreferenceRecord)
    pairs = [(record, record.gold_margin) for record in records if record.gold_margin]
    if not pairs:
        raise RunFailed(f"{settings['source']}: no pair has a known label that is not a tie")
    right = [margin > 0 for _, margin in pairs]  # the critic's chosen response comes first
    wrong = len(right) - sum(right) if settings.get("noisy") else 0
    turned = set(random.Random(f"known {seed}").sample(range(len(pairs)), wrong))
    _write(out, (relabelled(record, (margin > 0) != (n in turned)).to_dict() for n, (record, margin) in enumerate(pairs)))
    return {"known_labels": len(pairs), "agreement": sum(right) / len(right)}


def relabelled(record: PreferenceRecord, stays: bool) -> PreferenceRecord:
    """The pair with another judge's certain label. stays: whether the chosen response is the better one by it too."""
    bare = replace(record, p_chosen=1.0, principles=(), gold=(), rationale=None, critic="known")
    if stays:
        return bare
    indexes: dict[str, Any] = {"chosen_index": record.rejected_index, "rejected_index": record.chosen_index}
    return replace(bare, chosen=record.rejected, rejected=record.chosen, **indexes)


def principles(config: CompareConfig, settings: Mapping[str, Any], out: Path, seed: int) -> dict[str, float]:
    """The constitution's principles of safety alone, or all others."""
    assert config.critic.constitution is not None
    content = load_constitution(config.critic.constitution).resolved()
    kept = [each for each in content["principles"] if (each["id"] in config.safety) == settings["safe"]]
    part = {**content, "name": out.stem, "principles": kept}
    write_constitution(out, part, f"principles of {content['name']} that are {out.stem}", overwrite=True)
    return {}


def mix(config: CompareConfig, settings: Mapping[str, Any], out: Path, seed: int) -> dict[str, float]:
    """Two reward models as one reward, by the weights that their principles have in the constitution."""
    from ruamel.yaml import YAML

    every = principles_of(config)
    safe = sum(each.weight for each in every if each.id in config.safety) / sum(each.weight for each in every)
    sources = [
        {"id": name, "kind": "model", "reward_model": str(Path(settings[name]).absolute()), "weight": weight}
        for name, weight in (("helpfulness", 1 - safe), ("safety", safe))
    ]
    with atomic_write(out) as file:
        YAML().dump({"sources": sources}, file)
    return {}


def principles_of(config: CompareConfig) -> tuple[Principle, ...]:
    """The constitution's. Raises UsageError where ``--safety`` names what is none of them."""
    assert config.critic.constitution is not None
    found = load_constitution(config.critic.constitution).principles
    ids = [each.id for each in found]
    for name in config.safety:
        if name not in ids and config.safety != settings_of(CompareConfig)["safety"].default:
            raise UsageError(f"--safety {name}: {config.critic.constitution} has the principles {', '.join(ids)}")
    return found


Writer = Callable[[CompareConfig, Mapping[str, Any], Path, int], dict[str, float]]
WRITERS: Mapping[str, tuple[str, Writer]] = {
    "responses": (".jsonl", responses),
    "known": (".jsonl", known),
    "principles": (".yaml", principles),
    "mix": (".yaml", mix),
}
"""Steps that are no command of their own: the ending of the file that each writes, and what writes it."""


def _write(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    with JsonlWriter(path) as writer:
        for record in records:
            writer.write(dict(record))


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The file's records."""
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)
