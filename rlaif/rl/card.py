"""The model card of an on-policy run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlaif.errors import printable
from rlaif.train.card import code, table


def model_card(run: Mapping[str, Any], title: str) -> str:
    """The card's Markdown. run: the content of ``run.json``. title: of the method."""
    data, method, config = run["data"], run["method"], run["config"]
    settings = {name: value for name, value in config.items() if value is not None and not isinstance(value, dict | list)}
    parts = [
        f"---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- rlaif\n- {method}\n---",
        f"# {code(run['base'])} after {title}",
        f"Trained by `rlaif train {method}` for {run['steps']} steps on {data['used'] - data['held_out']:,} prompts of "
        f"{code(run['source'])} (content {code(data['digest'])}); {data['held_out']:,} more were held out.",
        _stop(run),
        "## Reward",
        table("source", {name: value for name, value in run["reward"].items() if not isinstance(value, dict | list)}),
        "## Metrics",
        table("metric", run["metrics"]),
        "## Settings",
        table("setting", settings | {"learning_rate": run["learning_rate"]}),
        "## Make it again",
        f"```bash\n{run['command'].replace('```', '')}\n```",
    ]
    return printable("\n\n".join(parts) + "\n")


def _stop(run: Mapping[str, Any]) -> str:
    if not run["stopped"]:
        return "The rewards are opinions of a model or the findings of a program, not people's."
    return f"The monitor stopped the run ({run['stopped']}); these are the weights of step {run['model_of_step']}."
