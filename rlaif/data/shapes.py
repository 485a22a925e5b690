"""The accepted row shapes, told apart by their columns: a source's record in, a Row out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

from rlaif.data import annotated
from rlaif.data.answers import LISTS, PARALLEL, PLAIN_LISTS, TEXTS, numbered, preferences, ratings, tells
from rlaif.data.rows import Response, Row, Turn
from rlaif.data.turns import after, alike, answer, conversation, hh_turns, with_system, with_tools
from rlaif.data.values import BadRecordError, NoShapeError, kind, parsed, plain, sequence, text

ACCEPTED = "prompt + responses; prompt + chosen + rejected; chosen + rejected as whole conversations; messages; prompt alone"
CANONICAL = ("prompt", "system", "tools", "responses", "chosen", "rejected", "messages", "completion", "label", "text", "id")
"""The names that ``columns`` may give to a source's own."""
PROMPTS = (
    "prompt",
    "question",
    "instruction",
    "query",
    "context",
    "history",
    "post",
    "info",
    "input",
    "conversations",
    "messages",
)
"""Names of the prompt. All but the first count only beside answers of which one is known to be better."""
COMPLETIONS = ("completion", "response")
"""Columns with the one answer of a row that has no others."""
DIALOGUES = ("messages", "conversations", "conversation")
STRUCTURED = frozenset((*PROMPTS[1:], *DIALOGUES, *LISTS, *PARALLEL, "tools", "preferred_output", "non_preferred_output"))
"""Columns that hold lists and objects in other formats, and JSON in CSV."""
SYSTEMS = ("system", "system_prompt")

LIKE_PROMPT = re.compile(r"prompt|instruction|question|query|input|messages|conversation", re.IGNORECASE)
LIKE_RESPONSE = re.compile(
    r"(.*_)?(response|completion|output|answer|reply|generation|candidate)s?(_?([a-z]|\d+))?", re.IGNORECASE
)
_OF_THE_TOOL = ("suggestions", "predictions", "vectors", "metadata", "meta", "drafts", "status", "_server_id")
"""What Argilla and Label Studio keep beside an answer."""
Columns = Mapping[str, Any]


class Reading(NamedTuple):
    """What a record says. used: the columns that it says it with; the others are kept."""

    conversation: tuple[Turn, ...]
    responses: tuple[Response, ...]
    used: tuple[str, ...]
    preferred: int | None = None


Reader = Callable[[Columns], Reading]


def to_row(number: int, record: Any, columns: Mapping[str, str] | None = None) -> Row:
    """The row that a source's record holds. columns: the source's own names by those of ``CANONICAL``.

    Raises BadRecordError saying what is wrong with the record.
    """
    if not isinstance(record, Mapping):
        raise NoShapeError(f"a row must be an object with columns, found {kind(record)}")
    record = _renamed(record, columns or {})
    reading = _reader(tuple(record))(record)
    system = next((name for name in SYSTEMS if name in record), None)
    turns = with_tools(with_system(reading.conversation, record.get(system) if system else None), record.get("tools"))
    known = [response.gold.get("overall") for response in reading.responses]
    best = max((value for value in known if value is not None), default=None)
    own_id = plain("id", record.get("id"))
    return Row(
        number=number,
        id=str(number) if own_id is None else own_id if isinstance(own_id, str) else json.dumps(own_id, ensure_ascii=False),
        conversation=turns,
        responses=reading.responses,
        preferred=known.index(best) if len(known) > 1 and None not in known and known.count(best) == 1 else reading.preferred,
        extra={
            name: plain(name, value)
            for name, value in record.items()
            if name not in (*reading.used, "id") and (name != system or not isinstance(value, str))
        },
    )


def shape_of(names: Collection[str]) -> Reader:
    """How to read a record with these columns. Raises NoShapeError naming the nearest accepted shape."""
    names = dict.fromkeys(names)
    asked = next((name for name in PROMPTS if name in names), None)
    answers = numbered(names)
    for read, columns in ((annotated.argilla, annotated.ARGILLA), (annotated.label_studio, annotated.LABEL_STUDIO)):
        if set(columns) <= names.keys():
            return partial(_annotated, read, columns)
    if {"prompt", "responses"} <= names.keys():
        return lambda record: _listed(record, "prompt", "responses")
    if {"chosen", "rejected"} <= names.keys():
        return _pair
    if {"input", "preferred_output", "non_preferred_output"} <= names.keys():
        return _openai
    if answers and answers.names[0].lower().startswith("conversation") and tells(names, answers):
        return _arena
    if asked and answers and (asked == "prompt" or tells(names, answers)):
        return lambda record: _numbered(record, asked)
    if asked and (listed := [name for name in LISTS if name in names]):
        return lambda record: _rated(record, asked, listed)
    return _without_answers(names)


_reader = lru_cache(maxsize=64)(shape_of)


def _without_answers(names: Collection[str]) -> Reader:
    if "prompt" in names and not {"chosen", "rejected"} & set(names):
        return _prompt_alone
    dialogue = next((name for name in DIALOGUES if name in names), None)
    if dialogue and not {"chosen", "rejected"} & set(names):
        return lambda record: _dialogue(record, dialogue)
    raise NoShapeError(_nearest(names))


def _prompt_alone(record: Columns) -> Reading:
    """A prompt with one answer, which is kept too, or with none."""
    turns = conversation("prompt", record["prompt"])
    name = next((name for name in COMPLETIONS if record.get(name) is not None), None)
    if name is not None:
        turns, answers = _settled(turns, [(name, _text_answer(record, "prompt", name))])
        return Reading(turns, (Response(answers[0]),), ("prompt",))
    if turns[-1]["role"] == "assistant":
        raise BadRecordError(
            "prompt: ends with an assistant turn, so there is nothing to answer; "
            "if that turn is the answer, name the column messages (--columns messages=prompt)"
        )
    return Reading(turns, (), ("prompt",))


def _dialogue(record: Columns, name: str) -> Reading:
    """A conversation whose last turn, if it is the assistant's, is the response."""
    turns = conversation(name, record[name])
    ends = len(turns) - (turns[-1]["role"] == "assistant")
    if not ends:
        raise BadRecordError(f"{name}: an answer without a question")
    return Reading(turns[:ends], (Response(turns[ends:]),) if ends < len(turns) else (), (name,))


def _listed(record: Columns, asked: str, name: str) -> Reading:
    items = sequence(record[name])
    if items is None:
        raise BadRecordError(
            f"{name}: must be a list of texts, of objects with text, or of message lists, found {kind(record[name])}"
        )
    if not items:
        raise BadRecordError(f"{name}: an empty list")
    keys = ("text",) if name == "responses" else TEXTS
    parsed_answers = [_response(f"response {number}", item, keys) for number, item in enumerate(items, 1)]
    known = ratings(record, items) or [None] * len(items)
    parsed_answers = [
        response if value is None else response._replace(gold={"overall": value, **response.gold})
        for response, value in zip(parsed_answers, known, strict=True)
    ]
    turns, answers = _settled(
        _asked(record, asked), [(f"response {number}", answer.turns) for number, answer in enumerate(parsed_answers, 1)]
    )
    responses = tuple(
        Response(turns_of, answer.extra, answer.gold) for turns_of, answer in zip(answers, parsed_answers, strict=True)
    )
    return Reading(turns, responses, _used(record, asked, name))


def _rated(record: Columns, asked: str, names: Sequence[str]) -> Reading:
    """The first of the lists that are answers, by their name or by their ratings; else what the rest of the record says."""
    for name in names:
        items = sequence(record[name])
        if items and (ratings(record, items) is not None or (asked == "prompt" and name in PLAIN_LISTS)):
            return _listed(record, asked, name)
    return _without_answers(record.keys())(record)


def _numbered(record: Columns, asked: str) -> Reading:
    columns = numbered(record.keys())
    assert columns
    given = [name for name in columns.names if record[name] is not None]
    if not given:
        raise BadRecordError(f"{', '.join(columns.names)}: nothing but null")
    if len(given) < len(columns.names) and len(columns.names) == 2:
        missing = next(name for name in columns.names if name not in given)
        raise BadRecordError(f"{missing}: must be a text or a list of messages, found nothing (null)")
    known: Sequence[float | None] = preferences(record, columns) or [None] * len(columns.names)
    exchanges = _exchanges([record[asked], *(record[name] for name in given)])
    if len(exchanges) == 2:
        turns, pair = _part_ways(*exchanges)
        answers = list(pair)
    else:
        turns, answers = _settled(_asked(record, asked), [(name, _text_answer(record, asked, name)) for name in given])
    gold: list[dict[str, float]] = [
        {} if value is None else {"overall": value} for name, value in zip(columns.names, known, strict=True) if name in given
    ]
    responses = tuple(Response(turns_of, gold=gold_of) for turns_of, gold_of in zip(answers, gold, strict=True))
    return Reading(turns, responses, _used(record, asked, *columns.names))


def _pair(record: Columns) -> Reading:
    """chosen and rejected: answers to the prompt, or whole conversations where there is none."""
    asked = "prompt" if "prompt" in record else None
    if asked is None and not (_is_whole(record["chosen"]) and _is_whole(record["rejected"])):
        asked = next((name for name in PROMPTS if name in record and sequence(record[name]) != []), None)
    if asked is None:
        turns, pair = _part_ways(*(_whole(name, record[name]) for name in ("chosen", "rejected")))
        return Reading(turns, tuple(map(Response, pair)), ("chosen", "rejected"), 0)
    named_answers = [(name, _text_answer(record, asked, name)) for name in ("chosen", "rejected")]
    turns, answers = _settled(_asked(record, asked), named_answers)
    return Reading(turns, tuple(map(Response, answers)), _used(record, asked, "chosen", "rejected"), 0)


def _annotated(
    read: Callable[[Columns], tuple[Any, list[dict[str, Any]]]], columns: tuple[str, ...], record: Columns
) -> Reading:
    """People's answers to pairs, from Argilla or Label Studio."""
    prompt, responses = read(record)
    reading = _listed({"prompt": prompt, "responses": responses}, "prompt", "responses")
    return reading._replace(used=(*columns, *(name for name in _OF_THE_TOOL if name in record)))


def _openai(record: Columns) -> Reading:
    """OpenAI's preference files."""
    names = ("preferred_output", "non_preferred_output")
    turns, answers = _settled(conversation("input", record["input"]), [(name, answer(name, record[name])) for name in names])
    return Reading(turns, tuple(map(Response, answers)), ("input", *names), 0)


def _arena(record: Columns) -> Reading:
    """Two whole conversations with different models, and which was better."""
    columns = numbered(record.keys())
    assert columns
    first, second = (_whole(name, parsed(record[name])) for name in columns.names[:2])
    turns, pair = _part_ways(first, second)
    known = preferences(record, columns)
    gold: list[dict[str, float]] = [{}, {}] if known is None else [{"overall": value} for value in known]
    responses = tuple(Response(turns_of, gold=gold_of) for turns_of, gold_of in zip(pair, gold, strict=True))
    return Reading(turns, responses, columns.names)


def _asked(record: Columns, name: str) -> tuple[Turn, ...]:
    """The conversation that is answered. An Alpaca ``instruction`` goes on in ``input``."""
    value = record[name]
    more = record.get("input") if name == "instruction" else None
    if isinstance(value, str) and isinstance(more, str) and more.strip():
        value = f"{value}\n\n{more}"
    turns = conversation(name, value)
    if name in DIALOGUES and turns[-1]["role"] == "assistant":
        raise BadRecordError(f"{name}: ends with an assistant turn, so it is not what the answers answer")
    return turns


def _text_answer(record: Columns, asked: str, name: str) -> tuple[Turn, ...]:
    """The turns of an answer. After a transcript, ``Assistant:`` and the space that follows it are not part of a text."""
    value = record[name]
    if isinstance(value, Mapping) and "text" in value:
        value = value["text"]
    follows = isinstance(value, str) and isinstance(record[asked], str) and record[asked].rstrip().endswith("\n\nAssistant:")
    return answer(name, value.removeprefix(" ") if follows else value)


def _used(record: Columns, asked: str, *names: str) -> tuple[str, ...]:
    return (asked, *names, *(["input"] if asked == "instruction" and isinstance(record.get("input"), str) else []))


class _Answer(NamedTuple):
    turns: tuple[Turn, ...]
    extra: Mapping[str, Any]
    gold: Mapping[str, float]


def _response(name: str, item: Any, keys: Sequence[str]) -> _Answer:
    if not isinstance(item, Mapping) or {"role", "content"} <= item.keys():
        return _Answer(answer(name, item), {}, {})
    key = next((key for key in (*keys, "messages") if key in item), None)
    if key is None:
        raise BadRecordError(f"{name}: an object needs the key text, found {', '.join(map(str, item)) or 'no keys'}")
    extra = {str(other): plain(f"{name}, {other}", held) for other, held in item.items() if other not in (key, "gold")}
    turns = (
        answer(name, item[key]) if key == "messages" else (Turn(role="assistant", content=text(f"{name}, {key}", item[key])),)
    )
    return _Answer(turns, extra, _gold(name, item.get("gold")))


def _gold(name: str, value: Any) -> dict[str, float]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadRecordError(f"{name}, gold: must be an object of principle id to number, found {kind(value)}")
    # Parquet and datasets fill the keys that a row lacks with null: those say nothing.
    known = {str(key): plain(name, number) for key, number in value.items()}
    for key, held in known.items():
        if held is not None and (isinstance(held, bool) or not isinstance(held, int | float)):
            raise BadRecordError(f"{name}, gold of {key}: must be a number, found {kind(held)}")
    return {key: float(held) for key, held in known.items() if held is not None}


def _settled(
    asked: tuple[Turn, ...], answers: Sequence[tuple[str, tuple[Turn, ...]]]
) -> tuple[tuple[Turn, ...], list[tuple[Turn, ...]]]:
    """(conversation, answers): answers that repeat the prompt, with what came before it if anything, are cut after it."""
    all_turns = [turns for _, turns in answers]
    for end in range(_shared(*all_turns, same=alike), len(asked) - 1, -1):
        if alike(all_turns[0][end - len(asked) : end], asked):
            return all_turns[0][:end], [turns[end:] for turns in all_turns]
    return asked, [after(asked, name, turns) for name, turns in answers]


def _whole(name: str, value: Any) -> tuple[Turn, ...]:
    turns = hh_turns(text(name, value)) if isinstance(value, str) else answer(name, value)
    if not turns:
        raise BadRecordError(
            f"{name}: with no prompt column it must be a whole conversation, a list of messages or a text such as "
            "'\\n\\nHuman: …\\n\\nAssistant: …'; add a prompt column if it is an answer alone"
        )
    return turns


def _is_whole(value: Any) -> bool:
    """Whether an answer's value brings the question with it."""
    if isinstance(value, str):
        return bool(hh_turns(value))
    messages = sequence(value)
    first = messages[0] if messages else None
    return isinstance(first, Mapping) and first.get("role", first.get("from")) not in ("assistant", "gpt")


def _part_ways(
    chosen: tuple[Turn, ...], rejected: tuple[Turn, ...]
) -> tuple[tuple[Turn, ...], tuple[tuple[Turn, ...], tuple[Turn, ...]]]:
    shared = _shared(chosen, rejected)
    if not shared:
        raise BadRecordError("chosen and rejected share no first turn, so they do not answer the same conversation")
    return chosen[:shared], (chosen[shared:], rejected[shared:])


def _shared(
    *answers: tuple[Turn, ...], same: Callable[[Sequence[Turn], Sequence[Turn]], bool] = lambda answer, other: answer == other
) -> int:
    """How many turns all begin with, leaving each at least one to answer with."""
    first, most = answers[0], min(map(len, answers)) - 1
    return next(
        (turn for turn in range(most) if not all(same(first[turn : turn + 1], answer[turn : turn + 1]) for answer in answers)),
        most,
    )


def _renamed(record: Columns, columns: Mapping[str, str]) -> Columns:
    """The record with the names that the user gave. A column whose name is taken by another is kept as ``row_NAME``."""
    missing = [own for own in columns.values() if own not in record]
    if missing:
        raise NoShapeError(f"no column {missing[0]} (named in --columns); found {', '.join(map(str, record)) or 'no columns'}")
    moved = set(columns.values())
    kept = {f"row_{name}" if name in columns else name: value for name, value in record.items() if name not in moved}
    return {**{name: record[own] for name, own in columns.items()}, **kept}


def _exchanges(values: Sequence[Any]) -> list[tuple[Turn, ...]]:
    """Whole conversations from the user's texts and each model's answers to them, where all are JSON lists of texts."""
    texts = [parsed(value) for value in values if isinstance(value, str)]
    if len(texts) < len(values) or not all(isinstance(each, list) and len(each) == len(texts[0]) for each in texts):
        return []
    if not texts[0] or not all(isinstance(item, str) for each in texts for item in each):
        return []
    return [
        tuple(
            Turn(role=role, content=text(role, content))
            for exchange in zip(texts[0], answers, strict=True)
            for role, content in zip(("user", "assistant"), exchange, strict=True)
        )
        for answers in texts[1:]
    ]


def _nearest(columns: Iterable[str]) -> str:
    names = [str(name) for name in columns]
    what = f"found the columns {', '.join(names)}" if names else "found no columns"
    if "responses" in names:
        advice = "the nearest is prompt + responses: a prompt column is missing"
    elif "chosen" in names or "rejected" in names:
        advice = f"the nearest is prompt + chosen + rejected: {'rejected' if 'chosen' in names else 'chosen'} is missing"
    else:
        asks = [name for name in names if LIKE_PROMPT.search(name) and not LIKE_RESPONSE.fullmatch(name)]
        answers = [name for name in names if LIKE_RESPONSE.fullmatch(name)]
        steps = [f"rename {asks[0]} to prompt"] if asks and "prompt" not in names else []
        steps += [f"put {', '.join(answers)} into one list, responses"] if answers else []
        nearest = "prompt + responses" if answers else "prompt alone"
        advice = f"the nearest is {nearest}: {', and '.join(steps)}" if steps else f"a row has one of: {ACCEPTED}"
    return f"no accepted shape: {what}; {advice}"
