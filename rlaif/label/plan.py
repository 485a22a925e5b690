"""What a labelling run would ask, and what of it the critic could not read, before anything is paid for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rlaif import loops
from rlaif.critic.ask import Critic
from rlaif.critic.config import CriticConfig
from rlaif.critic.examples import Known
from rlaif.critic.judge import in_cache_order
from rlaif.critic.jury import Plan
from rlaif.critic.pairs import budget
from rlaif.critic.reasons import Reasons
from rlaif.critic.sampled import MOST_TOKENS
from rlaif.critic.store import VerdictStore
from rlaif.data.read import named_columns, read_rows
from rlaif.data.rows import BadRow, Row
from rlaif.engines.base import Failure, FailureReason, Message, Prompt
from rlaif.engines.batches import HALF
from rlaif.engines.roofline import hours, sized
from rlaif.engines.spending import Meter, metered
from rlaif.errors import UsageError
from rlaif.label.config import LabelConfig
from rlaif.label.pipeline import Labeller
from rlaif.label.rehearsal import CALLS, rehearse
from rlaif.label.setup import draw_canaries, mixed_rows, read_inputs


@dataclass(frozen=True)
class DryRun:
    """What a run would ask. rows, bad_rows, unsampled: of the source; the rest counts its canaries too. questions: calls; with
    reasons each verdict takes two of each. cached: those that the store answers, of a schedule in rounds as far as its first.
    prompt is the first one, rendered. trouble: why rows cannot be used, most of them; '' where all can. too_long: numbers of
    the rows that do not fit the critic's context, even shortened; shortened: of those whose text is cut to fit it. read,
    written: dollars for the prompts, and at most for the answers, where priced.

    tokens, computed: of the prompts to ask, all of them and those that no prefix cache holds. store, files: bytes of the store,
    and of the records as JSONL and Parquet. hours: of a GPU, at least. These are found by ``rehearsal``, and of more calls than
    ``CALLS`` inferred from the first; None where they cannot be known."""

    rows: int
    bad_rows: int
    verdicts: int
    questions: int
    cached: int
    tokens: int
    prompt: str
    unsampled: int = 0
    trouble: str = ""
    too_long: tuple[int, ...] = ()
    shortened: tuple[int, ...] = ()
    read: float = 0.0
    written: float = 0.0
    priced: bool = False
    computed: int | None = None
    store: int | None = None
    files: int | None = None
    hours: float | None = None


@dataclass
class Fits:
    """Which rows fit their critics' contexts. room: tokens that an answer takes. rows: looked at. why: of the first that is too
    long; least: tokens of its prompt without any text of the row."""

    room: int
    rows: int = 0
    too_long: list[int] = field(default_factory=list)
    shortened: list[int] = field(default_factory=list)
    why: str = ""
    least: int = 0

    def add(self, number: int, plans: Sequence[Plan], critics: Sequence[Critic]) -> None:
        """Look at all questions about a row."""
        self.rows += 1
        cut = 0
        for critic, asked in ((critic, asked) for plan in plans for critic, asked in zip(critics, plan.by_critic, strict=True)):
            fit: Callable[[Prompt, int], int | Failure] = getattr(critic.engine, "fit", lambda prompt, room: 0)
            for question in in_cache_order(asked):
                prompt = critic.judge.prompt(question)
                found = fit(prompt, self.room)
                if isinstance(found, Failure):
                    self.why = self.why or found.detail
                    self.least = self.least or critic.engine.count_tokens(tuple(map(_trusted, prompt)))
                    self.too_long.append(number)
                    return
                cut += found
        if cut:
            self.shortened.append(number)


def dry_run(config: LabelConfig, gpu: str | None = None) -> DryRun:
    """Plan the run without asking anything of the critic (or the policy: rows without responses are only counted).

    gpu: whose hours are told, see ``engines.roofline.named``.

    Raises UsageError where no row can be judged, none fits the critic's context, or a critic's size is needed and not known.
    """
    constitution, _ = read_inputs(config)
    device, sizes = sized(gpu, config.critic.models) if gpu else (None, [])
    written = config.critic.thinking or (config.critic.reasons_tokens if config.critic.reasons else 0)
    engines = config.critic.engines()
    totals = dict.fromkeys(("rows", "bad_rows", "cached", "unsampled"), 0)
    verdicts, calls, calls_each = 0.0, 0.0, 2 if config.critic.reasons or config.critic.thinking else 1
    first: list[Row] = []
    fits = Fits(written + 1)
    unusable = Reasons()
    shown = ""
    with VerdictStore(config.critic.store) as store:
        critics = config.critic.critics(engines, store)
        labeller = Labeller(critics, config.pairs)
        rows = read_rows(config.source, config.limit, named_columns(config.columns))
        for row in mixed_rows(rows, draw_canaries(config, constitution), None):
            totals["rows"] += not isinstance(row, Known)
            if config.policy and isinstance(row, Row) and len(row.responses) < 2:
                totals["unsampled"] += 1
                continue
            item = labeller.plan(row)
            if isinstance(item, BadRow):
                totals["bad_rows"] += 1
                unusable.add(FailureReason.BAD_ROW, item.detail)
                continue
            rounds = budget(len(item.row.responses)) / len(item.pairs) if labeller.in_rounds else 1.0
            for asked in (asked for plan in item.plans for asked in plan.by_critic):
                questions = in_cache_order(asked)
                verdicts += rounds * len(asked)
                calls += rounds * calls_each * len(questions)
                totals["cached"] += calls_each * len(store.get([question.key for question in questions]))
                for question in questions[: 0 if shown else 1]:
                    prompt = critics[0].judge.prompt(question)
                    shown = "\n\n".join(f"[{message.role}]\n{message.text}" for message in prompt)
            if not first or calls <= CALLS:
                first.append(item.row)
            if not isinstance(row, Known):
                fits.add(row.number, item.plans, critics)
    trouble = unusable.commonest(totals["rows"], "rows")
    if totals["rows"] and totals["bad_rows"] == totals["rows"]:
        raise UsageError(f"none of the {totals['rows']} rows can be judged: {trouble}")
    if fits.rows and len(fits.too_long) == fits.rows:
        raise UsageError(
            f"none of the {fits.rows} rows fits the critic's context: {fits.why}; the prompt takes {fits.least} tokens without "
            "any text of the rows: give a larger --critic-context, or another critic"
        )
    rehearsed = rehearse(config.critic, config.pairs, engines, first)
    for engine in engines:
        loops.run(engine.close())
    times = (calls - totals["cached"]) / max(1, rehearsed.calls)
    tokens = times * rehearsed.tokens
    needed = rehearsed.needed(times)
    if device:
        needed["hours"] = sum(hours(device, size, work.times(times)) for size, work in zip(sizes, rehearsed.work, strict=True))
    counted = {"verdicts": round(verdicts), "questions": round(calls), "tokens": round(tokens)}
    named = {"too_long": tuple(fits.too_long), "shortened": tuple(fits.shortened)}
    half = HALF if config.batch else 1.0
    paid = _dollars(half, metered(engines), len(engines), tokens, calls - totals["cached"], config.critic)
    return DryRun(**{**totals, **counted, **named, **paid, **needed, "prompt": shown, "trouble": trouble})  # type: ignore[arg-type]


def _dollars(
    share: float, meters: Sequence[Meter], critics: int, tokens: float, calls: float, config: CriticConfig
) -> dict[str, float | bool]:
    """What ``calls`` that read ``tokens`` cost, at a share of the price; each critic has the same share of them."""
    if not meters or not all(meter.price for meter in meters):
        return {}
    draws = config.votes if config.labels == "sampled" and not config.reasons else 1
    label = draws * (MOST_TOKENS if config.labels == "sampled" else 1)
    written = config.thinking or (config.reasons_tokens if config.reasons else 0)
    longest = calls * ((written + label) / 2 if written else label)  # with reasons, every other call is for them
    prices = [(meter.price, 1 if meter.once else draws) for meter in meters]
    return {
        "read": share * sum(price.of(tokens * times, 0) for price, times in prices if price) / critics,
        "written": share * sum(price.of(0, longest) for price, _ in prices if price) / critics,
        "priced": True,
    }


def _trusted(message: Message) -> Message:
    """The message without what comes from the rows."""
    return Message(message.role, tuple(segment for segment in message.segments if segment.trusted))
