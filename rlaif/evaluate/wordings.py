"""The same prompt in other words: as its row brings them, or as a model writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from rlaif.critic.answers import answered
from rlaif.critic.store import VerdictStore, key
from rlaif.critic.templates import Form, load_template
from rlaif.data.rows import Row, Turn
from rlaif.engines.base import Engine, Sampling
from rlaif.errors import UsageError

COLUMN = "rewordings"
"""Of a row: a list of texts, each another wording of its last user turn."""
FORM = Form("reword", "reword", ())
KEEP = "The new message keeps the meaning, every name and every number, and asks for neither more nor less."


def given(row: Row) -> list[str]:
    """The wordings that the row brings, the prompt's own first. Raises UsageError where the column holds something else."""
    others = row.extra.get(COLUMN) or []
    if not isinstance(others, list | tuple) or not all(isinstance(text, str) and text.strip() for text in others):
        raise UsageError(f"row {row.number}: {COLUMN} must be a list of texts, each another wording of the prompt")
    return _different([asked(row.conversation), *others])


async def reworded(
    engine: Engine, store: VerdictStore, rows: Sequence[Row], number: int, sampling: Sampling
) -> list[list[str]]:
    """Of each row, its own wording and up to ``number`` others that the model writes, within ``sampling.max_tokens``; fewer
    where it repeats itself, writes nothing, or does not come to an end."""
    template = load_template(FORM)
    sampling = Sampling(sampling.max_tokens, 1.0, n=number, seed=sampling.seed)
    how = (sampling.max_tokens, sampling.temperature, sampling.n, sampling.seed)
    names = [key("reword", engine.identity, template.digest, row.conversation, how) for row in rows]
    prompts = {name: template.render(KEEP, row.conversation, []) for name, row in zip(names, rows, strict=True)}
    written = await answered(engine, prompts, partial(engine.generate, sampling=sampling), store)
    wordings = []
    for name, row in zip(names, rows, strict=True):
        texts = written.answers[name]
        whole = [text.text.strip() for text in texts if text.finish != "length"] if isinstance(texts, list) else []
        wordings.append(_different([asked(row.conversation), *whole]))
    return wordings


def asked(conversation: Sequence[Turn]) -> str:
    """What the last user turn says."""
    return next((turn["content"] for turn in reversed(conversation) if turn["role"] == "user"), "")


def put(row: Row, wording: str) -> Row:
    """The row's prompt with its last user turn in these words, without responses."""
    last = max((place for place, turn in enumerate(row.conversation) if turn["role"] == "user"), default=None)
    turns = list(row.conversation)
    if last is not None:
        turns[last] = {**turns[last], "content": wording}
    return replace(row, conversation=tuple(turns), responses=())


def _different(texts: Sequence[str]) -> list[str]:
    """Each text once, without empty ones."""
    return list({" ".join(text.split()): text for text in reversed(texts) if text.strip()}.values())[::-1]
