"""A finished comparison as a Markdown page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlaif.compare.files import read_jsonl
from rlaif.compare.recipes import METHODS, chain, plan
from rlaif.compare.steps import Place
from rlaif.compare.table import Results, cost_table, findings, main_table, markdown, principle_table
from rlaif.constitution.load import load_constitution


def page(results: Results, run: Mapping[str, Any], place: Place) -> str:
    """run: the content of ``run.json``. place: of any seed."""
    config, seeds = place.config, run["seeds"]
    judge = "gold" if config.by_gold else " and ".join(config.judge or config.critic.models)
    assert config.critic.constitution is not None
    constitution = load_constitution(config.critic.constitution)
    prompts = sum(1 for _ in read_jsonl(place.out("rows")))
    interval = "95% t-interval over seeds" if len(seeds) > 1 else "95% interval over prompts; one seed says nothing of others"
    return f"""# Methods beside each other

Written by `{run["command"]}`.

Every method starts from `{config.model}` and learns from {place.responses():,} responses to the same {prompts:,} prompts:
offline methods and reward models from {_each(place)} to each, drawn before; on-policy methods draw as many on the way.
{len(seeds)} seeds, each with prompts, samples, labels and orders of its own. The trained models answer
{config.held_out:,} held-out prompts twice, and {judge} scores the answers. ±: {interval}.

{markdown(main_table(results))}

*total*: the mean of the principles by the weights of the constitution {constitution.name}; *safety*: of
{", ".join(config.safety)}; *helpfulness*: of the others. *consistency*: 1 less the mean difference between the scores of two
answers to one prompt. *wins*: how often an answer is better than the base model's to the same prompt, ties half. *diversity*: 1
less the BLEU of two answers to one prompt with each other. *KL*: from the base model, nats per answer. *words*: per answer.

{_methods(results)}

## By principle

{markdown(principle_table(results))}

## What the figures say

{"".join(f"- {sentence}{chr(10)}" for sentence in findings(results))}
## Cost

Of one seed, mean over seeds, as if the method had been alone: samples and labels that methods share count for each of them.
Evaluation is not in it. Peak: the most memory that the process held at once (on a GPU, of its memory), libraries included.

{markdown(cost_table(results))}

## Steps

{_steps(results, place)}
"""


def _each(place: Place) -> int:
    return place.responses() // max(1, sum(1 for _ in read_jsonl(place.out("rows"))))


def _methods(results: Results) -> str:
    return "\n".join(f"- **{name}**: {METHODS[name].title}" for name in results.methods)


def _steps(results: Results, place: Place) -> str:
    """Each step with its command and its own settings, and the steps of each method."""
    lines = []
    for name in plan(results.methods, place.steps):
        step = place.steps[name]
        settings = {**step.settings, **place.wider(step), **place.given.get(name, {})}
        told = ", ".join(f"{key} {value}" for key, value in settings.items())
        lines.append(f"- `{name}`: {step.command}, {told}")
    ways = [
        f"- **{name}**: {' → '.join(chain(METHODS[name].step, place.steps))}" for name in results.methods if METHODS[name].step
    ]
    return "\n".join([*lines, "", *ways])
