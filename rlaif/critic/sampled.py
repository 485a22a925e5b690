"""Labels read from what the critic writes, for critics that give no log-probabilities: of N texts, each is a label or nothing.

The share of the texts that say a label stands in for its probability; those that say none are mass off the labels.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Sequence

from rlaif.engines.base import Choice, Failure, FailureReason, Generation, Sampling

MOST_TOKENS = 512
"""Of a text that is to be a label: room for reasoning in it."""
_THOUGHT = re.compile(r"\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_ALONE = re.compile(
    r"""[\s"'`*(\[{]*(?:(?:the |my |final )*answer(?: is)?\s*[:=]?)?[\s"'`*(\[{]*(.+?)[\s"'`*)\]}.,;:!]*""", re.I | re.S
)
"""A label with no more around it than white space, punctuation, quotes, or "Answer:"."""


def label_of(text: str, labels: Sequence[str]) -> str | None:
    """The label that ``text`` is; None where it is anything more or less. Reasoning in ``<think>`` before it does not count."""
    alone = _ALONE.fullmatch(_THOUGHT.sub("", text, count=1))
    answer = alone[1] if alone else ""
    if answer in labels:
        return answer
    alike = [label for label in labels if label.casefold() == answer.casefold()]
    return alike[0] if len(alike) == 1 else None


def counted(texts: Sequence[Generation], labels: Sequence[str]) -> Choice | Failure:
    """The labels' shares of ``texts`` as a ``Choice``; a failure where no text is a label."""
    label_counts = Counter(label_of(text.text, labels) for text in texts if text.finish == "stop")
    valid = sum(label_counts[label] for label in labels)
    commonest = Counter(text.text for text in texts).most_common(1)[0][0][:200]
    if not valid:
        cut = all(text.finish == "length" for text in texts)
        reason = FailureReason.TRUNCATED if cut else FailureReason.PARSE_FAILED
        return Failure(reason, f"none of {len(texts)} texts is a label alone; the critic said {commonest!r}")
    shares = tuple(math.log(max(label_counts[label] / len(texts), sys.float_info.min)) for label in labels)
    return Choice(shares, valid / len(texts), commonest, texts[0].prompt_tokens)


def named(identity: str, drawing: Sampling | None) -> str:
    """What a critic is called: where its labels are drawn, its verdicts are others than those from log-probabilities."""
    if drawing is None:
        return identity
    how = f"temperature {drawing.temperature:g}, at most {drawing.max_tokens} tokens, seed {drawing.seed}"
    return f"{identity} labels sampled {drawing.n}× ({how})"
