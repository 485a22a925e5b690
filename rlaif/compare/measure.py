"""What a trained model's answers to held-out prompts are like: how good, how safe, how alike, how far from the base model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, groupby
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from rlaif.compare.config import CompareConfig
from rlaif.compare.files import principles_of, read_jsonl
from rlaif.critic.config import CriticConfig
from rlaif.data.records import PreferenceRecord, ScoreRecord, read_records
from rlaif.evaluate.win_rate import games
from rlaif.lab.gold import gold
from rlaif.label.config import LabelConfig, WinRateConfig
from rlaif.label.run import run_label
from rlaif.label.win_rate import compare_models
from rlaif.models.load import find_base, load
from rlaif.progress import Progress
from rlaif.rl.monitor.texts import self_bleu
from rlaif.sample.config import SampleConfig
from rlaif.sample.run import run_sample
from rlaif.train.items import Encoder, Item
from rlaif.train.reference import with_reference
from rlaif.train.rows import Example

ANSWERS = 2
"""To each held-out prompt: what tells whether a policy keeps to its answer, and how much it varies."""

Scores = Mapping[str, float]
"""By principle, in [0, 1]; a principle without a verdict is not there."""


class Figure(NamedTuple):
    """mean: over prompts. error: its standard error over them, NaN where there are fewer than two."""

    mean: float
    error: float


def measure(config: CompareConfig, model: str, method: str, folder: Path, seed: int, progress: Progress) -> dict[str, Figure]:
    """A model's figures by name, principles as ``principles/ID``; what is not known is not there.

    folder: the seed's, where answers and verdicts are kept. Raises RunFailed where the model or the judge gives no answer.
    """
    answers = folder / f"{method}-answers.jsonl"
    critic = replace(config.critic, seed=seed, models=config.judge or config.critic.models)
    sample = SampleConfig(
        source=str(folder / "heldout.jsonl"),
        model=model,
        out=answers,
        seed=seed,
        drawing=replace(config.drawing, samples=ANSWERS),
        store=critic.store,
    )
    run_sample(sample, progress)
    texts = {repr(row["prompt"]): list(row["responses"]) for row in read_jsonl(answers)}
    base = folder / "base-answers.jsonl"
    if config.by_gold:
        scores, wins = _gold(answers), _gold_wins(config, answers, base)
    else:
        scores = _judged(critic, answers, folder / f"{method}-scores", progress)
        wins = _judged_wins(critic, answers, base, folder / f"{method}-wins", progress) if method != "base" else {}
    weights = {each.id: each.weight for each in principles_of(config)}
    figures = quality(scores, weights, config.safety)
    figures["wins"] = figure(wins.values()) if method != "base" else Figure(0.5, 0.0)
    figures["diversity"] = figure(1 - self_bleu([text.split() for text in each]) for each in texts.values())
    figures["kl"] = figure(divergence(config, model, answers, progress)) if method != "base" else Figure(0.0, 0.0)
    figures["words"] = figure(fmean(len(text.split()) for text in each) for each in texts.values())
    return {name: each for name, each in figures.items() if not math.isnan(each.mean)}


def figure(values: Iterable[float]) -> Figure:
    """Of one value for each prompt; NaN is left out."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return Figure(math.nan, math.nan)
    return Figure(fmean(known), stdev(known) / math.sqrt(len(known)) if len(known) > 1 else math.nan)


def quality(scores: Mapping[str, Sequence[Scores]], weights: Mapping[str, float], safety: Sequence[str]) -> dict[str, Figure]:
    """scores: of each prompt's answers.

    ``total``: the principles' mean by weight. ``safety`` and ``helpfulness``: of the principles that ``safety`` names, and of
    the others. ``consistency``: 1 − the mean difference between the scores of two answers to one prompt, by weight.
    """
    safe = {name: weight for name, weight in weights.items() if name in safety}
    helpful = {name: weight for name, weight in weights.items() if name not in safety}

    def over(chosen: Mapping[str, float]) -> Figure:
        return figure(_mean([weighted(each, chosen) for each in answers]) for answers in scores.values())

    found = {"total": over(weights), "helpfulness": over(helpful), "safety": over(safe)}
    found["consistency"] = figure(_mean([alike(a, b, weights) for a, b in combinations(each, 2)]) for each in scores.values())
    return found | {f"principles/{name}": over({name: 1.0}) for name in weights}


def weighted(scores: Scores, weights: Mapping[str, float]) -> float:
    """The mean by weight over the principles that have a score; NaN without any."""
    total = sum(weight for name, weight in weights.items() if name in scores)
    return sum(weight * scores[name] for name, weight in weights.items() if name in scores) / total if total else math.nan


def alike(a: Scores, b: Scores, weights: Mapping[str, float]) -> float:
    """1 − the mean difference of two answers' scores by weight; NaN where no principle scored both."""
    return 1 - weighted({name: abs(a[name] - b[name]) for name in a.keys() & b.keys()}, weights)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else math.nan


def _gold(answers: Path) -> dict[str, list[Scores]]:
    return {repr(row["prompt"]): [gold(_question(row), text) for text in row["responses"]] for row in read_jsonl(answers)}


def _gold_wins(config: CompareConfig, answers: Path, base: Path) -> dict[str, float]:
    """By prompt: how often gold's total of an answer is above that of the base's answer with the same number, ties half."""
    weights = {each.id: each.weight for each in principles_of(config)}
    ours, theirs = _gold(answers), _gold(base)

    def won(a: Scores, b: Scores) -> float:
        difference = weighted(a, weights) - weighted(b, weights)
        return 0.5 if abs(difference) < 1e-9 else float(difference > 0)

    return {key: fmean(won(a, b) for a, b in zip(ours[key], theirs[key], strict=True)) for key in ours}


def _question(row: Mapping[str, Any]) -> str:
    return str(row["prompt"][-1]["content"])


def _judged(critic: CriticConfig, answers: Path, out: Path, progress: Progress) -> dict[str, list[Scores]]:
    """The critic's scores, from [−1, 1] to [0, 1]."""
    run_label(LabelConfig(source=str(answers), critic=replace(critic, mode="score"), out=out, pairs="1"), progress)
    records = groupby(read_records(out / "scores.jsonl", ScoreRecord), key=lambda record: record.row)
    return {
        str(row): [{each.id: (each.score + 1) / 2 for each in record.principles if each.score is not None} for record in group]
        for row, group in records
    }


def _judged_wins(critic: CriticConfig, answers: Path, base: Path, out: Path, progress: Progress) -> dict[str, float]:
    """By prompt: the critic's probability that an answer is better than the base's with the same number."""
    compare_models(WinRateConfig(model_a=str(answers), model_b=str(base), out=out, critic=critic), progress)
    played = games(read_records(out / "preferences.jsonl", PreferenceRecord))["overall"]
    by_prompt: dict[str, list[float]] = {}
    for p, prompt in zip(played.p.tolist(), played.prompt.tolist(), strict=True):
        by_prompt.setdefault(str(prompt), []).append(p)
    return {prompt: fmean(each) for prompt, each in by_prompt.items()}


def divergence(config: CompareConfig, model: str, answers: Path, progress: Progress) -> Iterable[float]:
    """By prompt: Σ log π − log π_base over the tokens of an answer of π's. Its mean is the KL of π from the base model, in nats
    per answer. Answers are encoded anew, each with the token that ends it."""
    ratios: dict[int, list[float]] = {}
    for name, spec, sign in (("policy", model, 1), ("base", config.model, -1)):
        engine = config.drawing.engine
        base = find_base(spec, "causal", engine.context, "auto", engine.trust_remote_code)
        numbers, items = zip(*_items(Encoder(base.tokenizer, base.context), answers), strict=True)
        progress.stage(f"log-probabilities, {name}", len(items), 0)
        cache = answers.with_suffix(f".{name}.safetensors")
        read = with_reference(items, cache, load(base, "causal"), base.pad, lambda done: progress.update(done, {}))
        for number, item in zip(numbers, read, strict=True):
            ratios.setdefault(number, []).append(sign * item.reference[0])
    return (2 * fmean(each) for each in ratios.values())  # each answer is there twice, with either sign


def _items(encoder: Encoder, answers: Path) -> Iterator[tuple[int, Item]]:
    for number, row in enumerate(read_jsonl(answers), 1):
        for text in row["responses"]:
            items = encoder.items(Example(number, str(number), tuple(row["prompt"]), (text,)))
            if isinstance(items, list):  # else the prompt alone fills the context
                yield from ((number, item) for item in items)
