"""What a command would draw and ask, counted before it is paid for: the figures of ``--dry-run``.

All are upper bounds: nothing is looked up in the verdict store, and every text is counted at its longest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rlaif.critic.config import CriticConfig
from rlaif.critic.examples import known
from rlaif.critic.judge import Judge, in_cache_order
from rlaif.critic.modes import MODES
from rlaif.critic.modes.base import ORDERS, Subject
from rlaif.critic.pairs import ADAPTIVE, check_pairs, pairs, ring
from rlaif.critic.pairs import budget as pairs_in_rounds
from rlaif.data.read import named_columns, read_rows
from rlaif.data.rows import BadRow, Response, Row, Turn
from rlaif.data.shapes import to_row
from rlaif.errors import UsageError
from rlaif.evaluate.config import AgreementConfig, ConsistencyConfig
from rlaif.evaluate.consistency_run import check_settings, wordings_of
from rlaif.evaluate.wordings import given
from rlaif.label.benchmark import is_run, planned
from rlaif.label.config import LadderConfig, ReviseConfig, WinRateConfig
from rlaif.label.ladder import budget, meetings, policies
from rlaif.label.win_rate import pairs_of
from rlaif.rl.config import RlConfig
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.rewards.mix_file import load_mix
from rlaif.sample.config import SampleConfig
from rlaif.train.feedback import BestOfN, GeneratedConfig, RoundsConfig


@dataclass(frozen=True)
class Cost:
    """prompts: rows that can be used. unusable: rows that cannot. texts: to draw from a policy or a reviser. tokens: of all of
    these at most. calls: of critics at most."""

    prompts: int
    unusable: int
    texts: int
    tokens: int
    calls: int


def sample_cost(config: SampleConfig) -> Cost:
    """Of ``rlaif sample``. Raises UsageError where the rows cannot be read."""
    rows = _read(config.source, config.limit, config.columns)
    texts = len(rows.usable) * config.drawing.samples
    return Cost(len(rows.usable), rows.unusable, texts, texts * config.drawing.max_tokens, 0)


def revise_cost(config: ReviseConfig) -> Cost:
    """Of ``rlaif revise``: a critique and a revision in each round, then the critic compares the last one with the original.

    Raises UsageError where the rows cannot be read or the critic's settings do not go together.
    """
    rows = _read(config.source, config.limit, config.columns)
    responses = [row for row in rows.usable for _ in row.responses]
    texts = 2 * config.rounds * len(responses)
    calls = _calls(config.critic, ((_answered(row, 2), [(0, 1)]) for row in responses))
    return Cost(len(rows.usable), rows.unusable, texts, texts * config.drawing.max_tokens, math.ceil(calls))


def agreement_cost(config: AgreementConfig) -> Cost:
    """Of ``rlaif evaluate agreement``; nothing of a run that has been judged. Raises UsageError as the command does."""
    if is_run(config):
        return Cost(0, 0, 0, 0, 0)
    rows = _sorted(planned(config))
    mode = MODES[config.critic.mode]
    asked = ((row, mode.subjects(len(row.responses), pairs("all", len(row.responses)))) for row in rows.usable)
    return Cost(len(rows.usable), rows.unusable, 0, 0, math.ceil(_calls(config.critic, asked)))


def win_rate_cost(config: WinRateConfig) -> Cost:
    """Of ``rlaif evaluate win-rate``, all pairs judged. Raises UsageError where the rows cannot be read."""
    critic, files = replace(config.critic, mode="compare"), [Path(side) for side in (config.model_a, config.model_b)]
    models = [path for path in files if not path.is_file()]
    if not models:
        rows = _sorted(to_row(number, row) for number, row in enumerate(pairs_of(files[0], files[1], config.limit), 1))
        calls = _calls(critic, ((row, [(0, 1)]) for row in rows.usable))
        return Cost(len(rows.usable), rows.unusable, 0, 0, math.ceil(calls))
    rows = _prompts(models[0], config.source, config.limit)
    texts, each = len(models) * len(rows.usable) * config.drawing.samples, config.drawing.samples
    calls = each * _calls(critic, ((_answered(row, 2), [(0, 1)]) for row in rows.usable))
    return Cost(len(rows.usable), rows.unusable, texts, texts * config.drawing.max_tokens, math.ceil(calls))


def ladder_cost(config: LadderConfig) -> Cost:
    """Of ``rlaif evaluate ladder``, its whole budget asked about the prompt that most principles apply to. Raises UsageError
    where the rows cannot be read."""
    files = [Path(given) for given in policies(config).values()]
    models = [path for path in files if not path.is_file()]
    if models:
        rows = _prompts(models[0], config.source, config.limit)
        texts = len(models) * len(rows.usable) * config.drawing.samples
        possible = math.comb(len(files), 2) * len(rows.usable) * config.drawing.samples
    else:
        met = list(meetings(files, config.limit))
        rows, texts = _Rows([meeting.row for meeting in met], 0), 0
        possible = sum(math.comb(len(meeting.responses), 2) for meeting in met)
    critic = replace(config.critic, mode="compare")
    most = max((_calls(critic, [(_answered(row, 2), [(0, 1)])]) for row in rows.usable), default=0.0)
    calls = math.ceil(min(budget(config), possible) * most)
    return Cost(len(rows.usable), rows.unusable, texts, texts * config.drawing.max_tokens, calls)


def consistency_cost(config: ConsistencyConfig) -> Cost:
    """Of ``rlaif evaluate consistency``, every rewording different. Raises UsageError where the rows cannot be read or the
    settings do not go together."""
    check_settings(config)
    rows = _read(config.source, config.limit, config.columns)
    wordings = [wordings_of(config, row) for row in rows.usable]
    made = sum(config.rewordings for row in rows.usable if config.reworder and len(given(row)) == 1)
    drawn = config.drawing.samples * sum(wordings)
    pairs_of_answers = sum(math.comb(config.drawing.samples * number, 2) for number in wordings)
    calls = len(ORDERS[config.critic.orders]) * len(config.critic.models) * pairs_of_answers
    return Cost(len(rows.usable), rows.unusable, drawn + made, (drawn + made) * config.drawing.max_tokens, calls)


def examples_cost(config: CriticConfig) -> Cost:
    """Of ``rlaif constitution test``: both orders of each example, by its own principle. Raises UsageError as ``inputs``."""
    constitution, template = config.inputs()
    rows = list(known(constitution))
    judge = config.judge(constitution, template, "")
    asked = sum(len(in_cache_order(judge.ask(row, (0, 1), [row.principle]))) for row in rows)
    return Cost(len(rows), 0, 0, 0, asked * _per_question(config, judge))


def rounds_cost(config: RoundsConfig) -> Cost:
    """Of best-of-n and of ``--rounds``: each prompt is sampled and judged once, in one of the rounds.

    Raises UsageError where the rows cannot be read or the settings do not go together.
    """
    feedback, drawing = config.feedback, config.feedback.drawing
    feedback.check()
    check_pairs(feedback.pairs)
    rows = _read(config.train.source, config.train.limit, config.train.columns)
    texts = len(rows.usable) * drawing.samples
    calls = 0.0
    if feedback.critic.models:
        scored = isinstance(feedback, BestOfN)
        critic = replace(feedback.critic, mode="score" if scored else "compare")
        compared = pairs(feedback.pairs, drawing.samples)
        subjects: list[Subject] = [(index,) for index in range(drawing.samples)] if scored else [*compared]
        adaptive = not scored and feedback.pairs in ADAPTIVE
        times = pairs_in_rounds(drawing.samples) / len(compared) if adaptive else 1.0
        calls = times * _calls(critic, ((_answered(row, drawing.samples), subjects) for row in rows.usable))
    return Cost(len(rows.usable), rows.unusable, texts, texts * drawing.max_tokens, math.ceil(calls))


def critic_cost(config: GeneratedConfig) -> Cost:
    """Of ``rlaif train critic --generate``: an answer, a critique and a revision of each prompt, and what the critic is asked;
    the rationales of ``--reasons`` are then there. Of ``--reasons`` alone, what the critic is asked about the pairs.

    Raises UsageError where the rows cannot be read or the settings do not go together.
    """
    if config.generation.generate is None:
        pairs = _read(config.train.source, config.train.limit, config.train.columns)
        asked = _calls(config.critic, ((_answered(row, 2), [(0, 1)]) for row in pairs.usable))
        return Cost(len(pairs.usable), pairs.unusable, 0, 0, math.ceil(asked))
    sample, revise = config.stages()
    rows = _read(sample.source, sample.limit, sample.columns)
    texts = 3 * len(rows.usable)
    calls = _calls(revise.critic, ((_answered(row, 2), [(0, 1)]) for row in rows.usable))
    return Cost(len(rows.usable), rows.unusable, texts, texts * sample.drawing.max_tokens, math.ceil(calls))


def on_policy_cost(config: RlConfig) -> Cost:
    """Of ``rlaif train ppo`` and the other on-policy methods, evaluations on held-out prompts included.

    Raises UsageError where the rows cannot be read or the settings do not go together.
    """
    rows = _read(config.source, config.limit, config.columns)
    if not rows.usable:
        raise UsageError(f"{config.source}: no row has a prompt that can be used")
    looks = len({step for step in range(1, config.steps + 1) if step % config.evaluates_every == 0} | {config.steps})
    many = min(2, config.samples)
    groups = config.steps * config.batch_size * (1 + config.refill)
    held_out = looks * min(config.eval_prompts, len(rows.usable))
    calls = groups * _per_prompt(config.rewards, rows.usable, config.samples)
    if config.greedy:
        calls += groups * _per_prompt(config.rewards, rows.usable, 1)
    calls += held_out * _per_prompt(config.rewards, rows.usable, many)
    if config.second and config.second != "gold":
        calls += held_out * _per_prompt(RewardConfig(reward=config.second), rows.usable, many)
    texts = groups * (config.samples + config.greedy) + held_out * many
    if config.rewards.reward == "verdict":  # both orders of each pair, and one label after each rationale
        texts *= 2
        calls = float(texts)
    return Cost(len(rows.usable), rows.unusable, texts, texts * config.max_tokens, math.ceil(calls))


def _per_prompt(config: RewardConfig, rows: Sequence[Row], samples: int) -> float:
    """Calls of critics for the rewards of a prompt's samples, for the prompt that most principles apply to."""
    if config.reward.endswith((".yaml", ".yml")):
        return sum(_per_prompt(item.config, rows, samples) for item in load_mix(Path(config.reward)).ingredients)
    if config.reward != "critic":
        return 0.0
    critic = replace(config.critic, mode="score" if config.feedback == "score" else "compare")
    constitution, _ = critic.inputs()
    by_principles = {tuple(each.id for each in constitution.principles if each.applies(row.extra)): row for row in rows}
    alone: Subject = (0,) if config.feedback == "score" else (0, 1)
    compared: Sequence[Subject] = ring(samples, config.opponents) if config.feedback == "group" else [alone]
    times = 1 if config.feedback == "group" else samples
    return times * max(_calls(critic, [(_answered(row, max(2, samples)), compared)]) for row in by_principles.values())


def _calls(config: CriticConfig, wanted: Iterable[tuple[Row, Sequence[Subject]]]) -> float:
    """Calls of all critics about subjects of rows. Raises UsageError where constitution or settings cannot be used."""
    constitution, template = config.inputs()
    if not config.models:
        raise UsageError("--critic is missing: who judges? a model's path or hub id, http://… URLs, lab, or script:FILE")
    judge = config.judge(constitution, template, "")
    asked = sum(len(in_cache_order(judge.ask(row, subject))) for row, subjects in wanted for subject in subjects)
    return float(asked * _per_question(config, judge))


def _per_question(config: CriticConfig, judge: Judge) -> int:
    """Calls of all critics for one question: where a text comes before the label, two each."""
    return (1 + judge.writes_first) * len(config.models)


def _answered(row: Row, number: int) -> Row:
    """The row with so many different responses in place of those that are not drawn yet."""
    return replace(row, responses=tuple(Response((Turn(role="assistant", content=str(index)),)) for index in range(number)))


class _Rows(NamedTuple):
    usable: list[Row]
    unusable: int


def _read(source: str, limit: int | None, columns: str | None) -> _Rows:
    return _sorted(read_rows(source, limit, named_columns(columns)))


def _prompts(model: Path, source: str | None, limit: int | None) -> _Rows:
    """Those that a model answers. Raises UsageError where there are none."""
    if source is None:
        raise UsageError(f"{model}: no such file; to sample from a model of that name, give --source")
    return _read(source, limit, None)


def _sorted(rows: Iterable[Row | BadRow]) -> _Rows:
    every = list(rows)
    usable = [row for row in every if isinstance(row, Row)]
    return _Rows(usable, len(every) - len(usable))
