"""A run's data: the source's examples in tokens, the held-out ones apart, and a failure for each row that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rlaif.data.read import named_columns
from rlaif.data.records import FailureRecord
from rlaif.data.rows import BadRow
from rlaif.engines.base import Failure, FailureReason
from rlaif.errors import UsageError
from rlaif.models.load import Base
from rlaif.train.batches import hold_out
from rlaif.train.config import TrainConfig
from rlaif.train.items import Item, digest
from rlaif.train.rows import Example, check_examples, read_examples


@dataclass
class Data:
    """examples: what the items were made of. failures: entries of ``failures.jsonl``. digest: of all that training sees."""

    items: list[Item] = field(default_factory=list)
    held_out: list[Item] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    failures: list[FailureRecord] = field(default_factory=list)
    digest: str = ""

    def facts(self) -> dict[str, Any]:
        """What ``run.json`` says of the data."""
        tokens = sum(len(sequence.ids) for item in self.items for sequence in item.sequences)
        counts = {"failed": len(self.failures), "used": len(self.items), "held_out": len(self.held_out)}
        return {"digest": self.digest, **counts, "tokens": tokens}


def read_data(config: TrainConfig, base: Base) -> Data:
    """Read and encode the whole source; training goes over it more than once, in orders of its own.

    Raises UsageError where the source cannot be read; ``check`` says whether what was read can be trained on.
    """
    data, encode = Data(), config.loss.encoder(base)
    columns = named_columns(config.columns)
    for read in encoded(read_examples(config.source, config.loss.rows, config.labels, config.limit, columns), encode):
        if isinstance(read, FailureRecord):
            data.failures.append(read)
        else:
            data.examples.append(read[0])
            data.items += read[1]
    data.digest = digest(data.items)
    return data


def encoded(
    examples: Iterable[Example | BadRow], encode: Callable[[Example], list[Item] | Failure]
) -> Iterator[tuple[Example, list[Item]] | FailureRecord]:
    """Each example with its items, or why it cannot be used."""
    for example in examples:
        if isinstance(example, BadRow):
            yield _failure(example.number, None, Failure(FailureReason.BAD_ROW, example.detail))
            continue
        try:
            items = encode(example)
        except UsageError as error:  # of the chat template: one conversation that it refuses is no reason to stop
            items = Failure(FailureReason.BAD_ROW, str(error))
        yield _failure(example.number, example.id, items) if isinstance(items, Failure) else (example, items)


def split(data: Data, config: TrainConfig, base: Base) -> None:
    """Set the held-out items apart, and arrange both sides as the method wants them.

    Raises UsageError where nothing can be learnt from the data, or nothing held out.
    """
    check_examples(data.examples, config.loss.rows, config.method, config.source, data.failures)
    items, held_out = hold_out(data.items, config.eval_fraction, config.seed)
    data.items = config.loss.arrange(items, base.context, config.seed, held_out=False)
    data.held_out = config.loss.arrange(held_out, base.context, config.seed, held_out=True)


def _failure(number: int, name: str | None, failure: Failure) -> FailureRecord:
    return FailureRecord(row=number, id=name, reason=str(failure.reason), detail=failure.detail)
