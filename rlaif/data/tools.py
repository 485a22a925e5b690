"""Files for other tools, from a run's preferences: what each reads, under ``exports/TOOL/`` of the run's folder.

Trainers that read a response as one text (LLaMA-Factory, axolotl) and tools that show two responses side by side cannot hold
a pair whose responses are several turns or call functions; such pairs are left out, and a line on stderr says how many.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from rlaif.data.annotated import FIRST, SECOND, TIE
from rlaif.data.parquet import write_parquet
from rlaif.data.records import OVERALL, PreferenceRecord, beside_overall, read_records
from rlaif.data.rows import Turn
from rlaif.data.write import JsonlWriter, atomic_write
from rlaif.errors import warn

FOLDER = "exports"
_SPEAKERS = {"user": "human", "assistant": "gpt"}
Item = dict[str, Any]


def write_tool(name: str, run: Path) -> None:
    """Write the files of one tool into a run's folder, from its ``preferences.jsonl``."""
    folder = run / FOLDER / name
    remove_tool(name, run)
    folder.mkdir(parents=True)
    left_out = TOOLS[name](folder, read_records(run / "preferences.jsonl", PreferenceRecord))
    if left_out:
        warn(f"{folder}: {left_out:,} pairs are left out, which {name} cannot hold: several turns, or tool calls")


def remove_tool(name: str, run: Path) -> None:
    """Take away what an earlier run wrote for the tool."""
    shutil.rmtree(run / FOLDER / name, ignore_errors=True)
    if (run / FOLDER).is_dir() and not any((run / FOLDER).iterdir()):
        (run / FOLDER).rmdir()


def _messages(folder: Path, records: Iterable[PreferenceRecord]) -> int:
    """prompt, chosen and rejected as lists of messages and nothing else: TRL's conversational preferences with a prompt, and
    OpenRLHF's with ``apply_chat_template`` and ``prompt_key prompt``."""
    with JsonlWriter(folder / "preferences.jsonl") as file:
        for record in records:
            file.write({"prompt": list(record.prompt), "chosen": list(record.chosen), "rejected": list(record.rejected)})
    return 0


def _axolotl(folder: Path, records: Iterable[PreferenceRecord]) -> int:
    """``type: chat_template.default`` of axolotl's DPO: the conversation, and one message each."""
    plain, others = _apart(records)
    with JsonlWriter(folder / "preferences.jsonl") as rows:
        for record in plain:
            rows.write({"messages": list(record.prompt), "chosen": record.chosen[0], "rejected": record.rejected[0]})
    dataset = "{path: preferences.jsonl, ds_type: json, split: train, type: chat_template.default}"
    with atomic_write(folder / "dataset.yaml") as file:
        file.write(f"rl: dpo\ndatasets:\n  - {dataset}\n")
    return others()


def _llama_factory(folder: Path, records: Iterable[PreferenceRecord]) -> int:
    """LLaMA-Factory's ShareGPT ranking file, and the ``dataset_info.json`` that names its columns. Turns alternate there, from
    the human on."""
    plain, others = _apart(records, _alternates)
    _write_json(folder / "preferences.json", (_sharegpt(record) for record in plain))
    columns = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected", "system": "system"}
    about = {"file_name": "preferences.json", "formatting": "sharegpt", "ranking": True, "columns": columns}
    with atomic_write(folder / "dataset_info.json") as file:
        json.dump({"rlaif": about}, file, indent=2)
    return others()


def _verl(folder: Path, records: Iterable[PreferenceRecord]) -> int:
    """verl's Parquet of prompts, one for each source row. ``extra_info`` holds the prompt, from which
    ``rlaif.integrations.verl`` judges."""
    with JsonlWriter(folder / "prompts.jsonl") as file:
        for row, group in groupby(records, key=lambda record: record.row):
            prompt = [{"role": turn["role"], "content": turn["content"]} for turn in next(group).prompt]
            extra = {"split": "train", "index": row, "prompt": prompt}
            truth = {"style": "rule", "ground_truth": ""}
            file.write(
                {"data_source": "rlaif", "prompt": prompt, "ability": "chat", "reward_model": truth, "extra_info": extra}
            )
    write_parquet(folder / "prompts.jsonl", folder / "prompts.parquet")
    return 0


def _argilla(folder: Path, records: Iterable[PreferenceRecord]) -> int:
    """Records as ``rg.Dataset.records.from_json`` reads them, with a suggestion for each question, and the questions' names."""
    plain, others = _apart(records)
    names: dict[str, None] = {}
    _write_json(folder / "records.json", (_argilla_record(record, names) for record in plain))
    with atomic_write(folder / "questions.json") as file:
        json.dump({"labels": [FIRST, SECOND, TIE], "questions": list(names)}, file, indent=2)
    return others()


def _label_studio(folder: Path, records: Iterable[PreferenceRecord]) -> int:
    """Tasks with predictions, and the labelling configuration that shows them."""
    plain, others = _apart(records)
    names: dict[str, None] = {}
    _write_json(folder / "tasks.json", (_task(record, names) for record in plain))
    with atomic_write(folder / "config.xml") as file:
        file.write(_labelling(list(names)))
    return others()


TOOLS: Mapping[str, Callable[[Path, Iterable[PreferenceRecord]], int]] = {
    "trl": _messages,
    "openrlhf": _messages,
    "axolotl": _axolotl,
    "llama-factory": _llama_factory,
    "verl": _verl,
    "argilla": _argilla,
    "label-studio": _label_studio,
}
"""By the name that ``--export`` takes: puts the tool's files into a folder, and returns how many pairs these cannot hold."""


def _apart(
    records: Iterable[PreferenceRecord], fits: Callable[[PreferenceRecord], bool] = lambda record: True
) -> tuple[Iterator[PreferenceRecord], Callable[[], int]]:
    """The pairs of one plain message each that also fit, and how many were others when these have been read."""
    others = 0

    def plain() -> Iterator[PreferenceRecord]:
        nonlocal others
        for record in records:
            if _is_plain(record.chosen) and _is_plain(record.rejected) and fits(record):
                yield record
            else:
                others += 1

    return plain(), lambda: others


def _is_plain(response: Sequence[Turn]) -> bool:
    return len(response) == 1 and not {"tool_calls", "reasoning_content"} & response[0].keys()


def _spoken(record: PreferenceRecord) -> list[Turn]:
    """The prompt without its system turn."""
    return [turn for number, turn in enumerate(record.prompt) if number or turn["role"] != "system"]


def _alternates(record: PreferenceRecord) -> bool:
    roles = [turn["role"] for turn in _spoken(record)]
    return len(roles) % 2 == 1 and all(role == ("user", "assistant")[at % 2] for at, role in enumerate(roles))


def _sharegpt(record: PreferenceRecord) -> Item:
    system = record.prompt[0]["content"] if record.prompt[0]["role"] == "system" else ""
    said = [{"from": _SPEAKERS[turn["role"]], "value": turn["content"]} for turn in _spoken(record)]
    answers = {name: {"from": "gpt", "value": turns[0]["content"]} for name, turns in _pair(record)}
    return {"conversations": said, **answers, "system": system}


def _pair(record: PreferenceRecord) -> list[tuple[str, tuple[Turn, ...]]]:
    return [("chosen", record.chosen), ("rejected", record.rejected)]


def _shown(record: PreferenceRecord) -> tuple[str, str]:
    """The two responses in the source's order, which says nothing about which one is better."""
    texts = record.chosen[0]["content"], record.rejected[0]["content"]
    return texts if record.chosen_index < record.rejected_index else texts[::-1]


def _said(record: PreferenceRecord) -> dict[str, float]:
    """By question, the probability that the response shown first is better; without those that have no verdict."""
    first = record.chosen_index < record.rejected_index
    known = {beside_overall(each.id): each.p for each in record.principles if each.p is not None}
    return {name: p if first else 1.0 - p for name, p in {OVERALL: record.p_chosen, **known}.items()}


def _label(p: float) -> str:
    return TIE if p == 0.5 else FIRST if p > 0.5 else SECOND


def _questions(record: PreferenceRecord, names: dict[str, None]) -> None:
    names.update(dict.fromkeys([OVERALL, *(beside_overall(each.id) for each in record.principles)]))


def _argilla_record(record: PreferenceRecord, names: dict[str, None]) -> Item:
    _questions(record, names)
    said = {
        name: {"value": _label(p), "score": max(p, 1.0 - p), "agent": record.critic or "rlaif"}
        for name, p in _said(record).items()
    }
    first, second = _shown(record)
    prompt = [{"role": turn["role"], "content": turn["content"]} for turn in record.prompt]
    return {
        "id": record.id,
        "fields": {"prompt": prompt, FIRST: first, SECOND: second},
        "metadata": {"row": record.row},
        "suggestions": said,
        "responses": {},
        "vectors": {},
    }


def _task(record: PreferenceRecord, names: dict[str, None]) -> Item:
    _questions(record, names)
    first, second = _shown(record)
    prompt = [{"role": turn["role"], "content": turn["content"]} for turn in record.prompt]
    result = [
        {"from_name": name, "to_name": "prompt", "type": "choices", "value": {"choices": [_label(p)]}, "score": max(p, 1.0 - p)}
        for name, p in _said(record).items()
    ]
    prediction = {"model_version": record.critic or "rlaif", "score": record.p_chosen, "result": result}
    return {"data": {"id": record.id, "prompt": prompt, FIRST: first, SECOND: second}, "predictions": [prediction]}


def _labelling(names: Sequence[str]) -> str:
    """Label Studio's configuration: the conversation, both responses, and a choice for each question."""
    choices = "".join(f"<Choice value={quoteattr(value)}/>" for value in (FIRST, SECOND, TIE))
    asked = [
        f"  <Header value={quoteattr(f'Which response is better: {name}?')}/>\n"
        f'  <Choices name={quoteattr(name)} toName="prompt" choice="single-radio" showInline="true">{choices}</Choices>\n'
        for name in names
    ]
    shown = [f'  <Header value="{name}"/>\n  <Text name="{name}" value="${name}"/>\n' for name in (FIRST, SECOND)]
    conversation = '  <Paragraphs name="prompt" value="$prompt" layout="dialogue" nameKey="role" textKey="content"/>\n'
    return f"<View>\n{conversation}{''.join(shown)}{''.join(asked)}</View>\n"


def _write_json(path: Path, items: Iterable[Item]) -> None:
    """A JSON array, an item a line."""
    with atomic_write(path) as file:
        file.write("[")
        for number, item in enumerate(items):
            file.write(("," if number else "") + "\n" + json.dumps(item, ensure_ascii=False))
        file.write("\n]\n")
