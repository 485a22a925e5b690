"""Distilling a real AI labeler: a reward model from GPT-4-turbo's preferences in AlpacaEval, judged on held-out prompts."""

from __future__ import annotations

import gzip
import itertools
import json
import math
import os
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import ModernBertConfig, ModernBertModel, PreTrainedTokenizerFast

from benchmarks.lab_labels import write_records
from rlaif.progress import Progress
from rlaif.settings import configure
from rlaif.train.config import configuration
from rlaif.train.predict import RewardModel
from rlaif.train.run import run_train

HELD_OUT = (3, 4)
"""Of six groups of prompts, by a hash; settings were chosen by training on groups 0–2 and looking at group 5."""
UNEQUAL, MATCHED = 0.05, (0.8, 1.25)
"""|Δp| from which a pair counts, and ratios of characters that count as the same length."""
LEAST = 2e-4
"""Judgements are rounded to four digits; none is taken to be surer than this."""
PAIRS = 1500
VOCABULARY, WIDTH = 2048, 64
RECIPE: Mapping[str, Any] = {
    "epochs": 1.0,
    "learning_rate": 3e-3,
    "weight_decay": 0.01,
    "batch_size": 16,
    "micro_batch": 16,
    "context": 640,
}
STYLE: tuple[Callable[[str], float], ...] = (
    lambda text: math.log(len(text)),
    lambda text: math.log1p(text.count("\n")),
    lambda text: math.log1p(text.count("\n-") + text.count("\n*") + text.count("\n1.") + text.count("\n2.")),
    lambda text: math.log1p(text.count("**")),
    lambda text: math.log1p(text.count(",")),
    lambda text: math.log1p(sum(character.isdigit() for character in text)),
    lambda text: len(text) / len(text.split()),
    lambda text: len(set(text.split())) / len(text.split()),
    lambda text: float(text.rstrip()[-1] in ".!?)"),
)
"""What a text looks like, for a linear baseline that does not read."""


class Answer(NamedTuple):
    """One model's response, and the labeler's probability that it beats the baseline model's."""

    prompt: str
    text: str
    model: str
    p: float


class Pair(NamedTuple):
    """first is the one that the labeler prefers."""

    first: Answer
    second: Answer

    @property
    def ratio(self) -> float:
        return len(self.first.text) / len(self.second.text)


def encoder(texts: Iterable[str], folder: Path) -> str:
    """The folder of a two-layer encoder with random weights, and a tokenizer that learnt its pieces from ``texts``.

    It pools by the mean over positions. Its pieces are of bytes, which keep line ends and case: layout tells answers apart.
    """
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["[PAD]", "[CLS]", "[SEP]"]
    shape = trainers.BpeTrainer(vocab_size=VOCABULARY, show_progress=False, special_tokens=special, initial_alphabet=alphabet)
    pieces.train_from_iterator(texts, shape)
    pieces.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")
    torch.manual_seed(0)
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=1,
        max_position_embeddings=1024,
        classifier_pooling="mean",
        pad_token_id=tokenizer.pad_token_id,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        attn_implementation="eager",  # type: ignore[call-arg]  # every configuration takes it
    )
    ModernBertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def read(path: Path) -> list[list[Answer]]:
    """The answers to each prompt, without the baseline's, empty ones and copies."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    found = []
    for row in rows:
        texts = {x["text"]: Answer(row["prompt"], x["text"], x["model"], x["judge_p_vs_first"]) for x in row["responses"][1:]}
        found.append([answer for text, answer in texts.items() if text.strip()])
    return found


def held_out(answers: Sequence[Answer]) -> bool:
    return crc32(answers[0].prompt.encode()) % 6 in HELD_OUT


def pairs(rows: Iterable[Sequence[Answer]]) -> list[Pair]:
    """All pairs of answers to one prompt of which the labeler's opinion is unequal."""
    both = (pair for answers in rows for pair in itertools.combinations(answers, 2))
    return [Pair(*sorted(pair, key=lambda one: -one.p)) for pair in both if abs(pair[0].p - pair[1].p) > UNEQUAL]


def training_rows(judged: Sequence[Pair]) -> list[dict[str, Any]]:
    """``PAIRS`` of the pairs, drawn at random, as rows that ``rlaif train reward`` reads.

    Each answer was compared with the baseline alone. By Bradley–Terry, logit p of a pair is the difference of both logits.
    """
    return [
        {
            "prompt": better.prompt,
            "chosen": better.text,
            "rejected": worse.text,
            "p_chosen": 1 / (1 + math.exp(logit(worse.p) - logit(better.p))),
        }
        for better, worse in random.Random(0).sample(judged, min(PAIRS, len(judged)))
    ]


def logit(p: float) -> float:
    p = min(max(p, LEAST), 1 - LEAST)
    return math.log(p / (1 - p))


def distil(path: Path, out: Path, display: Progress) -> dict[str, Any]:
    """Train on the prompts that are not held out, and judge by the others: the model beside the baselines."""
    rows = read(path)
    seen, unseen = [row for row in rows if not held_out(row)], [row for row in rows if held_out(row)]
    write_records(out.with_suffix(".jsonl"), training_rows(pairs(seen)))
    config = configure(
        configuration("reward"),
        source=str(out.with_suffix(".jsonl")),
        model=encoder((answer.text for row in seen for answer in row), out.with_name("encoder")),
        out=out,
        save_every=50,
        **RECIPE,
    )
    before, began = os.times(), time.monotonic()
    run = run_train(config, display)
    seconds, after = time.monotonic() - began, os.times()
    display.stage("score", 1, 0)
    answers = [answer for row in unseen for answer in row]
    model = RewardModel(str(out / "model"))
    scored = model.scores(
        [({"role": "user", "content": one.prompt},) for one in answers], [one.text for one in answers]
    ).tolist()
    authors = quality_of_authors(seen)
    scores = {
        "reward model": dict(zip(answers, scored, strict=True)),
        "length alone": {answer: float(len(answer.text)) for answer in answers},
        "style alone": style(pairs(seen), answers),
        "author's mean p": {answer: authors[answer.model] for answer in answers},
    }
    return {
        "pairs": run["data"]["used"],
        "tokens": run["data"]["tokens"],
        "cpu_seconds": after.user + after.system - before.user - before.system,
        "seconds": seconds,
        "parameters": sum(weight.numel() for weight in model.model.parameters()),
        "threads": torch.get_num_threads(),
        "prompts": [len(seen), len(unseen)],
        "figures": {name: figures(values, pairs(unseen)) for name, values in scores.items()},
    }


def quality_of_authors(rows: Iterable[Sequence[Answer]]) -> dict[str, float]:
    """Each model's mean p, which the text does not say outright."""
    found = defaultdict(list)
    for answer in itertools.chain.from_iterable(rows):
        found[answer.model].append(answer.p)
    return {model: statistics.fmean(ps) for model, ps in found.items()}


def style(train: Sequence[Pair], answers: Sequence[Answer]) -> dict[Answer, float]:
    """Scores of a logistic regression on the differences of ``STYLE``, fitted on all training pairs."""

    def features(of: Iterable[Answer]) -> torch.Tensor:
        return torch.tensor([[one(answer.text) for one in STYLE] for answer in of])

    first, second = features(pair.first for pair in train), features(pair.second for pair in train)
    scale = (first - second).std(0).clamp(min=1e-6)  # a habit that nobody has
    weights = torch.zeros(len(STYLE), requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = -torch.nn.functional.logsigmoid((first - second) / scale @ weights).mean() + 1e-3 * weights.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return dict(zip(answers, (features(answers) / scale @ weights.detach()).tolist(), strict=True))


def figures(scores: Mapping[Answer, float], judged: Sequence[Pair]) -> dict[str, Any]:
    """Accuracy over all pairs and over length-matched ones, each with its 95% bootstrap interval over prompts, and the
    correlation of the score with the logarithm of the length."""
    matched = [pair for pair in judged if MATCHED[0] <= pair.ratio <= MATCHED[1]]
    values = list(scores.values())
    return {
        "all": [len(judged), *accuracy(scores, judged)],
        "matched": [len(matched), *accuracy(scores, matched)],
        "length": statistics.correlation(values, [math.log(len(answer.text)) for answer in scores]),
    }


def accuracy(scores: Mapping[Answer, float], judged: Sequence[Pair]) -> tuple[float, float, float]:
    """(share of pairs in which the preferred answer scores higher, an equal score for half; lower bound; upper bound)."""
    right = defaultdict(list)
    for pair in judged:
        difference = scores[pair.first] - scores[pair.second]
        right[pair.first.prompt].append(float(difference > 0) + 0.5 * (difference == 0))
    groups, draw = list(right.values()), random.Random(0)

    def mean(of: Iterable[Sequence[float]]) -> float:
        return statistics.fmean(itertools.chain.from_iterable(of))

    means = sorted(mean(draw.choices(groups, k=len(groups))) for _ in range(1000))
    return mean(groups), means[25], means[975]
