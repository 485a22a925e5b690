"""The prompts of a policy that is itself a critic: the judge's questions about pairs of known preference, to be answered with
reasons."""

from __future__ import annotations

from rlaif.constitution.load import load_constitution
from rlaif.constitution.types import Principle
from rlaif.critic.reasons import Reasons
from rlaif.critic.templates import Template, load_template
from rlaif.data.read import named_columns
from rlaif.data.records import FailureRecord
from rlaif.data.rows import BadRow, Response, Row
from rlaif.engines.base import Failure, FailureReason
from rlaif.engines.tokens import PromptEncoder
from rlaif.errors import UsageError
from rlaif.models.load import Base
from rlaif.rl.config import RlConfig
from rlaif.rl.rewards.base import given
from rlaif.rl.rollout import Query
from rlaif.train.items import turns_of
from rlaif.train.judging import taught
from rlaif.train.rows import Example, read_examples

PRINCIPLE, KNOWN = "principle", "p_chosen"
"""Extra columns of a question's row: the principle that is asked about, and the known probability that the first response is
the better one by it."""
Known = tuple[Principle, float]


def read_questions(config: RlConfig, base: Base) -> tuple[list[Query], list[FailureRecord]]:
    """A question for each pair and each principle by which its label is known, as ``rlaif label --reasons`` asks it; and an
    entry of ``failures.jsonl`` for each row that gives none, exact ties included.

    A question's row holds the pair, ``chosen`` first. Raises UsageError where nothing is left.
    """
    critic = config.rewards.critic
    constitution = load_constitution(given(critic.constitution, "verdict", "--constitution"))
    template, encoder = load_template("reasons", critic.prompts), PromptEncoder(base.tokenizer)
    room = base.context - config.max_tokens
    queries: list[Query] = []
    failures: list[FailureRecord] = []
    for example in read_examples(config.source, "pairs", "soft", config.limit, named_columns(config.columns)):
        known: list[Known] | Failure
        known = Failure(FailureReason.BAD_ROW, example.detail) if isinstance(example, BadRow) else taught(constitution, example)
        for principle, p in [] if isinstance(known, Failure) else known:
            assert isinstance(example, Example)
            query = _question(example, principle, p, template, encoder, room, len(queries) + 1)
            if isinstance(query, Failure):
                known = query
            else:
                queries.append(query)
        if isinstance(known, Failure):
            name = None if isinstance(example, BadRow) else example.id
            failures.append(FailureRecord(row=example.number, id=name, reason=str(known.reason), detail=known.detail))
    if not queries:
        why = Reasons.of(failures).commonest(len(failures), "rows") or "it is empty"
        raise UsageError(f"{config.source}: no pair of which it is known which response is better: {why}")
    return queries, failures


def _question(
    example: Example, principle: Principle, p: float, template: Template, encoder: PromptEncoder, room: int, number: int
) -> Query | Failure:
    if p == 0.5:
        return Failure(FailureReason.BAD_ROW, f"{principle.id}: an exact tie, so that no verdict is right")
    wording = template.wording(principle.text, principle.wordings.get(template.mode))
    responses = [turns_of(response) for response in example.responses]
    orders: list[tuple[int, ...]] = []
    for shown in (responses, responses[::-1]):
        try:
            encoded = encoder.encode(template.render(wording, example.prompt, shown), room)
        except UsageError as error:  # of the chat template
            encoded = Failure(FailureReason.BAD_ROW, str(error))
        if isinstance(encoded, Failure):
            return encoded
        orders.append(tuple(encoded.ids))
    extra = {**example.extra, PRINCIPLE: principle.id, KNOWN: p}
    row = Row(number, f"{example.id}:{principle.id}", example.prompt, tuple(map(Response, responses)), extra=extra)
    return Query(row, str(example.extra.get("task") or ""), 0, orders[0], orders[1])
