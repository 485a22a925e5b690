"""The lab's world: prompts of four kinds, and replies whose attributes are drawn independently of each other.

Everything is seeded and pure. ``rlaif.lab.gold`` reads the attributes back from the text, so no label is ever carried
beside it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from rlaif.lab import phrases as p
from rlaif.lab.gold import gold
from rlaif.lab.questions import Attributes, Question, Split, questions

KINDS = {"fact": 0.3, "sum": 0.1, "task": 0.35, "risky": 0.25}
"""Kinds of prompts and how often each is drawn."""


def draw_questions(seed: int, split: Split) -> Iterator[Question]:
    """An endless stream of prompts, kinds as in ``KINDS``; none comes twice before its kind is used up."""
    rng = random.Random(f"prompts {seed} {split}")
    decks: dict[str, list[Question]] = {kind: [] for kind in KINDS}
    while True:
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        if not decks[kind]:
            decks[kind] = [q for q in questions().values() if q.kind == kind and q.split == split]
            rng.shuffle(decks[kind])
        yield decks[kind].pop()


def draw_attributes(question: Question, rng: random.Random) -> Attributes:
    """Attributes of one reply, independent of each other."""
    if question.kind == "risky":
        substance = rng.choices(["answer", "half", "pointer", "refusal", "redirect"], [0.35, 0.1, 0.1, 0.2, 0.25])[0]
    else:
        half = 0.2 if question.kind == "task" else 0.0
        substance = rng.choices(["answer", "half", "pointer", "refusal"], [0.75 - half, half, 0.15, 0.1])[0]
    return Attributes(
        substance=substance,
        right=rng.random() < 0.55,
        opener=rng.random() < 0.4,
        closer=rng.random() < 0.35,
        insult=rng.random() < 0.3,
        certainty=rng.choices([-1, 0, 1], [0.3, 0.35, 0.35])[0],
        evidence=rng.choices([0, 1, 2], [0.45, 0.2, 0.35])[0],
        fillers=rng.choices([0, 1, 2, 3], [0.4, 0.3, 0.2, 0.1])[0],
        unsafe_tip=question.kind == "task" and rng.random() < 0.4,
    )


def write_reply(question: Question, attributes: Attributes, rng: random.Random) -> str:
    """A reply with these attributes, in one of its many wordings."""
    core = write_core(question, attributes.substance, attributes.right, rng)
    if attributes.certainty:
        core = f"{rng.choice(p.HEDGES if attributes.certainty > 0 else p.BOASTS)} {core}"
    else:
        core = core[0].upper() + core[1:]
    citation = [(), p.RUMOURS, [rng.choice(p.CITATIONS).format(source=rng.choice(p.SOURCES))]][attributes.evidence]
    before = [rng.choice(p.OPENERS)] * attributes.opener
    after = [rng.choice(citation)] if citation else []
    after += [rng.choice(p.TIPS)] * attributes.unsafe_tip
    rng.choice((before, after)).extend([rng.choice(p.INSULTS)] * attributes.insult)
    for filler in rng.sample(p.FILLERS, attributes.fillers):
        rng.choice((before, after)).append(filler)
    return " ".join([*before, core, *after, *[rng.choice(p.CLOSERS)] * attributes.closer])


def write_core(question: Question, substance: str, right: bool, rng: random.Random) -> str:
    """The part of a reply that answers, points elsewhere or refuses; see ``Attributes``. It begins in lower case, but for a
    refusal."""
    if substance == "pointer":
        return _lower(rng.choice(p.POINTERS))
    if substance in ("refusal", "redirect"):
        refusal = rng.choice(p.REFUSALS)
        return f"{refusal} {rng.choice(p.ALTERNATIVES)}" if substance == "redirect" else refusal
    if question.kind == "fact":
        relation, country = question.about
        truth = p.FACTS[relation][country]
        value = truth if right else rng.choice([v for v in p.FACTS[relation].values() if v != truth])
        return rng.choice(p.FACT_CORES).format(relation=relation, country=country, value=value)
    if question.kind == "sum":
        total = sum(map(int, question.about))
        value = str(total if right else rng.choice([n for n in range(2, 25) if n != total]))
        return rng.choice(p.SUM_CORES).format(value=value)
    if question.kind == "task":
        task = question.about[0] if right else rng.choice([t for t in p.TASKS if t != question.about[0]])
        first, second = p.TASKS[task]
    else:
        first, second = rng.sample(p.HARM_STEPS, 2)
    return f"first {first}, then {second}." if substance == "answer" else f"just {first}."


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def reply(question: Question, rng: random.Random) -> str:
    """One reply drawn from the grammar."""
    return write_reply(question, draw_attributes(question, rng), rng)


def rows(n: int, seed: int = 0, split: Split = "heldout", responses: int = 2) -> Iterator[dict[str, Any]]:
    """``n`` rows as ``rlaif label`` reads them, each with ``responses`` distinct replies and their gold scores."""
    rng = random.Random(f"replies {seed} {split}")
    for number, question in zip(range(n), draw_questions(seed, split), strict=False):
        texts: dict[str, None] = {}
        while len(texts) < responses:
            texts[reply(question, rng)] = None
        yield {
            "id": f"lab-{split}-{seed}-{number:06d}",
            "prompt": question.text,
            "tags": [question.kind],
            "responses": [{"text": text, "gold": gold(question.text, text)} for text in texts],
        }
