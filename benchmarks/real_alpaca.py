"""GPT-4-turbo's judgements in AlpacaEval, learnt by a critic and by a reward model on SmolLM2: ``benchmarks.real alpaca``."""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.real_parts import CONTEXT, LAST, constitution, lead, points, rlaif, templates, write
from benchmarks.reward_text import (
    MATCHED,
    Answer,
    Pair,
    figures,
    held_out,
    pairs,
    quality_of_authors,
    read,
    style,
    training_rows,
)
from rlaif.data.records import ScoreRecord, read_records
from rlaif.data.rows import Turn
from rlaif.train.predict import RewardModel

HELPFUL = "The response gives what was asked for, and is right, clear and complete."
NEAR = (2 / 3, 3 / 2)
"""Ratios of characters of the pairs that are trained on: where length decides, there is nothing else to learn from."""
SHORT = 1200
"""Characters of prompt and answer, at most, of the pairs that are trained on: two shared cores have time for no more."""
BEGUN = "Score="
"""After ``Score:`` SmolLM2 writes a blank, which before a digit is a token of its own, and the digits have .008 of the
probability; after this they have .81."""
STEPS = ["--batch-size", 8, "--learning-rate", 1e-4, "--context", CONTEXT, "--save-every", 10]


def alpaca(options: argparse.Namespace) -> None:
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    rows = read(options.source)
    seen, unseen = [row for row in rows if not held_out(row)], [row for row in rows if held_out(row)]
    judged = [pair for pair in pairs(unseen) if MATCHED[0] <= pair.ratio <= MATCHED[1]]
    answers = list(dict.fromkeys(itertools.chain.from_iterable(judged)))
    train = write(out / "train.jsonl", training_rows(disjoint(pairs(seen))))
    grouped = {prompt: [one.text for one in group] for prompt, group in itertools.groupby(answers, lambda one: one.prompt)}
    held = write(out / "held.jsonl", ({"prompt": prompt, "responses": texts} for prompt, texts in grouped.items()))

    asked = ["--mode", "score", "--constitution", constitution(out / "helpful.yaml", HELPFUL)]
    asked += ["--prompts", templates(out / "prompts", BEGUN)]
    steps = ["--model", options.model, *STEPS, *LAST, "--seed", options.seed]
    rlaif("train", "critic", train, *asked, *steps, "--out", out / "critic")
    judge = ["--critic", out / "critic", "--critic-context", CONTEXT, "--engine", options.engine, "--min-mass", 0]
    rlaif("label", held, *judge, *asked, "--store", out / "verdicts.sqlite", "--out", out / "scores")
    rlaif("train", "reward", train, *steps, "--out", out / "reward")

    model = RewardModel(str(out / "reward" / "model"))
    conversations: list[tuple[Turn, ...]] = [({"role": "user", "content": one.prompt},) for one in answers]
    authors = quality_of_authors(seen)
    scores: dict[str, Mapping[Answer, float]] = {
        "critic": critic_scores(out / "scores", answers),
        "reward model": dict(zip(answers, model.scores(conversations, [one.text for one in answers]).tolist(), strict=True)),
        "style alone": style(pairs(seen), answers),
        "length alone": {answer: float(len(answer.text)) for answer in answers},
        "author's mean p": {answer: authors[answer.model] for answer in answers},
    }
    print(f"\n| | {len(judged)} length-matched pairs | critic's lead, points | r with log length |\n|---|---|---|---|")
    prompts = [pair.first.prompt for pair in judged]
    mine = right(scores["critic"], judged)
    for name, values in scores.items():
        found = figures(values, judged)
        _, share, low, high = found["matched"]
        ahead = "" if name == "critic" else points(lead(mine, right(values, judged), prompts))
        print(f"| {name} | {share:.3f} ({low:.3f}–{high:.3f}) | {ahead} | {found['length']:.2f} |")


def disjoint(judged: Iterable[Pair]) -> list[Pair]:
    """Short pairs of like length, in a random order, of which no two have an answer in common: each text is read once."""
    near = [pair for pair in judged if NEAR[0] <= pair.ratio <= NEAR[1] and length(pair) < SHORT]
    random.Random(0).shuffle(near)
    used: set[Answer] = set()
    found = []
    for pair in near:
        if used.isdisjoint(pair):
            used.update(pair)
            found.append(pair)
    return found


def length(pair: Pair) -> int:
    return max(len(answer.prompt) + len(answer.text) for answer in pair)


def critic_scores(run: Path, answers: Sequence[Answer]) -> dict[Answer, float]:
    """Of a label run's folder. Raises KeyError where an answer has no score."""
    found = {
        (record.prompt[-1]["content"], record.response[0]["content"]): record.score
        for record in read_records(run / "scores.jsonl", ScoreRecord)
    }
    return {answer: found[answer.prompt, answer.text] for answer in answers}


def right(scores: Mapping[Answer, float], judged: Sequence[Pair]) -> list[float]:
    """1 where the preferred answer scores higher, ½ for a tie."""
    differences = [scores[pair.first] - scores[pair.second] for pair in judged]
    return [(difference > 0) + (difference == 0) / 2 for difference in differences]
