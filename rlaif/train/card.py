"""The model card: what a trained model is, what of, and how to make it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlaif.errors import printable
from rlaif.models.config import ModelKind

TASKS: Mapping[ModelKind, str] = {"causal": "text-generation", "sequence-classification": "text-classification"}


def model_card(run: Mapping[str, Any], title: str, kind: ModelKind) -> str:
    """The card's Markdown. run: the content of ``run.json``. title: of the method. kind: of the model."""
    data, method = run["data"], run["method"]
    config = run["config"]
    settings = {**run["settings"], "learning_rate": run["learning_rate"]}
    settings |= {name: config[name] for name in ("labels", "epochs", "max_steps", "batch_size", "schedule", "lora", "seed")}
    parts = [
        f"---\nlibrary_name: transformers\npipeline_tag: {TASKS[kind]}\ntags:\n- rlaif\n- {method}\n---",
        f"# {code(run['base'])} after {title}",
        f"Trained by `rlaif train {method}` on {data['used']:,} examples of {code(run['source'])} "
        f"(content {code(data['digest'])}); {data['held_out']:,} more were held out, {data['failed']:,} could not be used.",
        _labels(run),
        "## Metrics",
        table("metric", run["metrics"]),
        "## Settings",
        table("setting", settings),
        "## Make it again",
        f"```bash\n{run['command'].replace('```', '')}\n```",
    ]
    return printable("\n\n".join(parts) + "\n")


def _labels(run: Mapping[str, Any]) -> str:
    labelled = run.get("labelled_by")
    if not labelled:
        return "The labels came with the data."
    if "reward_model" in labelled:
        return f"The reward model {code(labelled['reward_model'])} ranked the responses, not people."
    constitution = labelled["constitution"]
    return (
        f"The labels are opinions of the critic {code(labelled['critic'])} by the constitution "
        f"{code(constitution.get('name'))} (digest {code(constitution.get('digest'))}), not people's."
    )


def table(name: str, values: Mapping[str, Any]) -> str:
    rows = [
        f"| {key} | {value:.6g} |" if isinstance(value, float) else f"| {key} | {_cell(value)} |"
        for key, value in values.items()
    ]
    return "\n".join([f"| {name} | |", "|---|---|", *rows])


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def code(value: Any) -> str:
    return "`" + " ".join(str(value).split()).replace("`", "'") + "`"
