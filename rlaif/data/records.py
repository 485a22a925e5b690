"""The rows that runs write: every column with its type and what it means. The one place that says so.

From here come the files (``JsonlWriter``), their readers (``read_records``), the types in Parquet, the column lists of the
dataset card and the tables of docs/rows.md. Who makes the records of verdicts is ``rlaif.label.records``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rlaif.data.columns import DIGITS, ColumnError, Entry, Record, Rounded, column
from rlaif.data.rows import Turn
from rlaif.errors import UsageError

OVERALL = "overall"
"""In a list of figures by principle: the figure of them all together."""

R = TypeVar("R", bound=Record)
Line = tuple[int, str]
"""A line of a file and its number, from 1."""


def beside_overall(principle: str) -> str:
    """A principle's name in a list that also holds ``overall``: its id, and ``principles/overall`` for one called so."""
    return f"principles/{principle}" if principle == OVERALL else principle


def _by_principle(name: str) -> str:
    return name.removeprefix("principles/")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipleVerdict(Entry):
    """What one principle says of a pair."""

    id: str = column("the principle's")
    p: Rounded | None = column("the probability that `chosen` is better by it, null where there is no verdict")
    gap: Rounded | None = column("P(better when shown first) − P(better when shown last), null when asked once", default=None)
    weight: float = column("its weight in the constitution", default=1.0)
    mass: Rounded | None = column("the probability that the critic gave to the labels", default=None)
    cut: int = column("tokens cut from the texts to fit the critic's context", default=0)
    failure: str | None = column("why there is no verdict", default=None)
    jury: tuple[Rounded | None, ...] | None = column("each critic's `p`, where there are several", default=None)
    uncalibrated: Rounded | None = column(
        "the critic's own `p`, which `gap` and `jury` go with, where `--calibration` made `p` of it", default=None, sparse=True
    )

    @property
    def asked(self) -> float | None:
        """The critic's own p."""
        return self.p if self.uncalibrated is None else self.uncalibrated


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipleScore(Entry):
    """What one principle says of a response by itself."""

    id: str = column("the principle's")
    score: Rounded | None = column("in [−1, 1], null where there is no verdict")
    weight: float = column("its weight in the constitution", default=1.0)
    mass: Rounded | None = column("the probability that the critic gave to the labels", default=None)
    cut: int = column("tokens cut from the texts to fit the critic's context", default=0)
    failure: str | None = column("why there is no verdict", default=None)
    jury: tuple[Rounded | None, ...] | None = column("each critic's score, where there are several", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldMargin(Entry):
    id: str = column(
        "the principle, or `overall` for the source's own preference (a principle of that id: `principles/overall`)"
    )
    margin: Rounded = column("how much better `chosen` is")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldScore(Entry):
    id: str = column("the principle's, or `overall` for the whole response (a principle of that id is `principles/overall`)")
    score: float = column("higher is better")


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionRound(Entry):
    """One round of a revision."""

    principle: str = column("the principle that was drawn")
    critique: str = column("what the response lacks by it")
    revision: str = column("the response after the round")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceRecord(Record):
    """A judged pair of responses."""

    id: str = column("The source row's id and the two responses' indexes, such as `17:0-1`.")
    prompt: tuple[Turn, ...] = column("The conversation, a list of messages (`role`, `content`).")
    chosen: tuple[Turn, ...] = column("The better response, a list of messages (nearly always one).")
    rejected: tuple[Turn, ...] = column("The worse response, a list of messages.")
    p_chosen: Rounded = column("The soft label: the probability that `chosen` is better, at least .5.")
    margin: Rounded = column("2 · `p_chosen` − 1.", computed=True)
    principles: tuple[PrincipleVerdict, ...] = column("What each principle says, a list", default=())
    rationale: str | None = column("The critic's reasons, where it was asked for them.", default=None)
    critic: str = column("The model that judged; of a jury, all of them.", default="")
    reversed: bool | None = column(
        "True where one order was asked (`--orders ab` or `ba`), and in it the response of the higher index stood first; else "
        "not there.",
        default=None,
        sparse=True,
    )
    row: int = column("The number of the source row, from 1.")
    chosen_index: int = column("Which of the row's responses `chosen` is, from 0.")
    rejected_index: int = column("Which of the row's responses `rejected` is, from 0.")
    gold: tuple[GoldMargin, ...] = column("Labels that the source came with and the critic never saw, a list", default=())

    def __post_init__(self) -> None:
        p = round(self.p_chosen, DIGITS)  # here already: what is decided by it must agree with the file
        object.__setattr__(self, "p_chosen", p)
        object.__setattr__(self, "margin", 2.0 * p - 1.0)

    @property
    def gold_margin(self) -> float | None:
        """By how much ``chosen`` is better by the source's own preference; None where the source has none."""
        return next((label.margin for label in self.gold if label.id == OVERALL), None)

    @property
    def gold_margins(self) -> dict[str, float]:
        """The same by principle."""
        return {_by_principle(label.id): label.margin for label in self.gold if label.id != OVERALL}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRecord(Record):
    """A scored response."""

    id: str = column("The source row's id and the response's index, such as `17:0`.")
    prompt: tuple[Turn, ...] = column("The conversation, a list of messages (`role`, `content`).")
    response: tuple[Turn, ...] = column("The response, a list of messages (nearly always one).")
    score: Rounded = column("Over all principles, in [−1, 1]; a reward model's, where one scored.")
    principles: tuple[PrincipleScore, ...] = column("What each principle says, a list", default=())
    critic: str = column("The model that judged; of a jury, all of them.", default="")
    row: int = column("The number of the source row, from 1.")
    index: int = column("Which of the row's responses it is, from 0.")
    gold: tuple[GoldScore, ...] = column("Scores that the source came with and the critic never saw, a list", default=())

    @property
    def gold_score(self) -> float | None:
        """The source's score of the response as a whole; None where it has none."""
        return next((label.score for label in self.gold if label.id == OVERALL), None)

    @property
    def gold_scores(self) -> dict[str, float]:
        """The same by principle."""
        return {_by_principle(label.id): label.score for label in self.gold if label.id != OVERALL}


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRecord(Record):
    """A row, a pair, a response or a list without a verdict."""

    row: int = column("The number of the source row, from 1; 0 for an example of the constitution.")
    id: str | None = column("The row's id; null where the row could not be read.", default=None)
    principle: str | None = column("The principle by which there is no verdict; null where the row is at fault.", default=None)
    pair: tuple[int, ...] | None = column("Indexes of the responses that were judged: two, one or all.", default=None)
    reason: str = column(
        "`label_mass_low`, `parse_failed`, `truncated`, `refused`, `too_long`, `engine_error` or `bad_row`; of "
        "`rlaif train critic --reasons` also `unverified`."
    )
    detail: str = column("What happened, in words.", default="")
    critic: str | None = column("Which critic of a jury; not there where there is one critic.", default=None, sparse=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryRecord(Record):
    """What the critic said of an example of the constitution."""

    id: str = column("The principle and the example's number, such as `harmless#1`.")
    principle: str = column("The principle's id.", default="")
    margin: Rounded | None = column("By how much the better response won, in [−1, 1]; null where there is no verdict.")
    right: bool | None = column("Whether it won; null where there is no verdict.")
    failure: str | None = column("Why there is no verdict.", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpairedRecord(Record):
    """A response with a label of its own, as KTO reads it."""

    id: str = column("The source row's id and the response's index.")
    prompt: tuple[Turn, ...] = column("The conversation.")
    completion: tuple[Turn, ...] = column("The response.")
    label: bool = column("Whether it beats those it was compared with more often than not; exact ties are left out.")
    p: Rounded = column("The mean probability that it does.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SftRecord(Record):
    """The best response of a source row."""

    id: str = column("The source row's id and the response's index.")
    prompt: tuple[Turn, ...] = column("The conversation.")
    completion: tuple[Turn, ...] = column("The row's best response.")
    value: Rounded = column("The mean probability that it beats those it was compared with; in score mode its score.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingRecord(Record):
    """A source row's responses in their order."""

    id: str = column("The source row's id.")
    prompt: tuple[Turn, ...] = column("The conversation.")
    responses: tuple[tuple[Turn, ...], ...] = column("The responses, best first.")
    values: tuple[Rounded, ...] = column("Of each, the mean probability that it beats the others; in score mode its score.")
    indexes: tuple[int, ...] = column("Of each, which of the row's responses it is, from 0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionRecord(Record):
    """A response and its revision, as a row that ``rlaif label`` reads."""

    id: str = column("The source row's id and the response's index.")
    prompt: tuple[Turn, ...] = column("The conversation.")
    responses: tuple[Mapping[str, Any], ...] = column("The revision, then the original with what the source says of it.")
    rounds: tuple[RevisionRound, ...] = column("What was done, a list")


RECORDS: Mapping[str, type[Record]] = {
    "preferences": PreferenceRecord,
    "rejected": PreferenceRecord,
    "scores": ScoreRecord,
    "failures": FailureRecord,
    "canaries": CanaryRecord,
    "unpaired": UnpairedRecord,
    "sft": SftRecord,
    "rankings": RankingRecord,
    "revisions": RevisionRecord,
}
"""By the name of the file."""


def read_records(path: Path, kind: type[R], of: Callable[[Iterable[Line]], Iterable[Line]] = iter) -> Iterator[R]:
    """The records of a JSONL file that a run wrote, of this version or an earlier one; none where there is no such file.

    of: picks the lines that are read as records.
    Raises UsageError, naming the line, where one cannot be read.
    """
    if not path.is_file():
        return
    with path.open(encoding="utf-8", newline="\n") as lines:
        for number, line in of(enumerate(lines, 1)):
            try:
                values = json.loads(line)
                if not isinstance(values, dict):
                    raise ColumnError(f"must be an object, found {values!r:.60}")
                record = kind.from_dict(values)
            except ValueError as error:
                what = "not valid JSON" if isinstance(error, json.JSONDecodeError) else error
                raise UsageError(f"{path}:{number}: {what}; run the command that wrote the file again") from None
            yield record
