"""What a server replied, read as what it is: hostile input.

Every function here is pure. It gives what the reply says, or raises ``BadReply`` where the reply is not what was asked for:
of other types, with numbers that are no log-probabilities, with more or fewer answers. Nothing is mended or guessed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from rlaif.engines.base import Choice, Failure, FailureReason, Generation, exact_choice
from rlaif.errors import one_line, without_sent

ROUNDING = 1e-3
"""Nats by which a log-probability may be above 0."""
MASS_ROUNDING = 1e-2
"""How far the probabilities of different next tokens may sum above 1: some servers round what they list."""
STOPPED = frozenset({"stop", "eos", "eos_token", "stop_sequence", "end_turn"})
CUT = frozenset({"length", "max_tokens"})
NO_LOGPROBS = "--labels sampled --votes 8 reads the labels from what the critic writes, without log-probabilities"
NO_LABEL_IDS = "it has to be vLLM 0.20 or later; --tokenizer none asks it by messages, as any other server"


class BadReply(Exception):
    """The reply is not what was asked for. remedy: what helps where every reply is like this, '' where nothing is known to."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.remedy = remedy


class Stated(NamedTuple):
    """An error that a reply states. status: as of HTTP, None where it gives none. code: the provider's name of it, or ''."""

    status: int | None
    words: str
    code: str = ""


class Card(NamedTuple):
    """What a server says of a model. root: where it was loaded from, '' where it does not say. context: tokens, if it says."""

    name: str
    root: str
    vllm: bool
    context: int | None


def parsed(body: bytes) -> dict[str, Any]:
    """The JSON object that ``body`` holds."""
    if not body.strip():
        raise BadReply("an empty reply")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        kind = "too deep" if isinstance(error, RecursionError) else "no JSON"
        raise BadReply(f"the reply is {kind}: {one_line(body[:400].decode('utf-8', 'replace'), 100)}") from None
    if not isinstance(content, dict):
        raise BadReply(f"the reply is {_shown(content)} where an object belongs")
    return content


def stated_error(content: Any) -> Stated | None:
    """The error in a reply's content, whatever its status says; None where there is none."""
    if not isinstance(content, dict):
        return None
    error = content if content.get("object") == "error" else content.get("error")
    if not error:
        return None
    if not isinstance(error, dict):
        return Stated(None, _shown(error))
    codes = (_shown(error.get(name)) for name in ("code", "status", "status_code"))
    status = next((int(code) for code in codes if re.fullmatch(r"[45]\d\d", code)), None)
    code = next((code for code in (error.get("code"), error.get("type")) if isinstance(code, str)), "")
    return Stated(status, _shown(error.get("message") or error), code)


def words(body: bytes) -> str:
    """What the body of an error says, on one line."""
    try:
        content = parsed(body)
    except BadReply:
        return one_line(body[:4000].decode("utf-8", "replace"))
    stated = stated_error(content)
    return stated.words if stated else _shown(content.get("message") or content.get("detail") or content)


def code(body: bytes) -> str:
    """The provider's own name of the error that ``body`` states, '' where it has none."""
    try:
        stated = stated_error(parsed(body))
    except BadReply:
        return ""
    return stated.code if stated else ""


def choices_of(content: Mapping[str, Any], prompts: int, n: int) -> list[list[dict[str, Any]]]:
    """Per prompt, the ``n`` choices of the reply for it, put in order by their ``index``.

    Where several draws from one prompt carry no index at all, they count as they come: any order of them is as good.
    """
    choices = content.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise BadReply(f"choices is {_shown(choices)} where a list of objects belongs")
    if len(choices) != prompts * n:
        raise BadReply(f"{len(choices)} choices where {prompts * n} were asked for")
    if prompts > 1 or any("index" in choice for choice in choices):
        places = [choice.get("index") for choice in choices]
        if not all(type(position) is int for position in places) or sorted(places) != list(range(len(choices))):
            raise BadReply(f"the choices' index is {_shown(places)} where each of 0 to {len(choices) - 1} belongs once")
        choices = sorted(choices, key=lambda choice: choice["index"])
    return [choices[start : start + n] for start in range(0, len(choices), n)]


def prompt_tokens(content: Mapping[str, Any]) -> int:
    """The prompt's length as the server counted it, 0 where it did not."""
    usage = content.get("usage")
    count = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return count if type(count) is int and count >= 0 else 0


def labelled(choice: Mapping[str, Any], labels: Sequence[Sequence[int]], tokens: int, cut: int) -> Choice | Failure:
    """The labels' log-probabilities as the next token, from a completion that lists them by token id.

    labels: the token ids that spell each label. tokens, cut: of the prompt, see ``Choice``.
    """
    if filtered := _filtered(choice):
        return filtered
    _finish(choice, optional=True)
    entries = _inside(choice, "logprobs", "top_logprobs", NO_LABEL_IDS)[0]
    if not isinstance(entries, dict):
        raise BadReply(f"top_logprobs holds {_shown(entries)} where an object belongs")
    given: dict[int, float] = {}
    for name, value in entries.items():
        if not re.fullmatch(r"token_id:\d{1,9}", name):
            raise BadReply(f"top_logprobs names {_shown(name)} where a token id belongs", NO_LABEL_IDS)
        given[int(name.removeprefix("token_id:"))] = _logprob(value)
    _check_mass(given.values())
    if not all(token in given for spellings in labels for token in spellings):
        raise BadReply("the labels' log-probabilities are not all there", NO_LABEL_IDS)
    return exact_choice(labels, given, _text(choice.get("text"), "text"), tokens, cut)


def listed(choice: Mapping[str, Any], labels: Sequence[str], tokens: int) -> Choice | Failure:
    """The labels' log-probabilities from a chat reply, which lists the most likely tokens at each place.

    The label is the first token that is not white space; what comes before it is a way to it, and its probability counts.
    """
    if refusal := _refusal(choice):
        return refusal
    _finish(choice, optional=True)
    places = _inside(choice, "logprobs", "content", NO_LOGPROBS)
    way, label_text = 0.0, ""
    per_label_values: list[list[float]] = [[] for _ in labels]
    bound = 0.0
    for position in places:
        if not isinstance(position, dict) or not isinstance(position.get("top_logprobs"), list) or not position["top_logprobs"]:
            raise BadReply("top_logprobs lists nothing", NO_LOGPROBS)
        token = _text(position.get("token"), "token")
        label_text += token
        entries = [_entry(entry) for entry in position["top_logprobs"]]
        _check_mass(value for _, value in entries)
        for values, label in zip(per_label_values, labels, strict=True):
            values += [way + value for names, value in entries if label in names]
        if any(len(names.intersection(labels)) > 1 for names, _ in entries):
            raise BadReply("a token is spelled as one label and its bytes as another")
        bound = way + _unlisted([value for _, value in entries])
        if _spelling(token).strip() or position is places[-1]:
            break
        way += _logprob(position.get("logprob"))
    per_label = tuple(
        math.log(sum(map(math.exp, values)) or math.exp(-700)) if values else bound for values in per_label_values
    )
    mass = sum(math.exp(value) for values in per_label_values for value in values)
    return Choice(per_label, min(1.0, mass), label_text, tokens)


def completed(choice: Mapping[str, Any], tokens: int, most: int, vocabulary: int | None = None) -> Generation | Failure:
    """A completion's text, with its tokens where it gives them: at most ``most``, each below ``vocabulary``."""
    if filtered := _filtered(choice):
        return filtered
    finish = _finish(choice)
    text = _text(choice.get("text"), "text")
    ids = choice.get("token_ids")
    if ids is None or ids == []:
        return Generation(text, (), (), finish, tokens)
    if not isinstance(ids, list) or not all(type(token) is int and 0 <= token < (vocabulary or 1 << 31) for token in ids):
        raise BadReply(f"token_ids is {_shown(ids)} where the model's token ids belong")
    logprobs = [_logprob(value) for value in _inside(choice, "logprobs", "token_logprobs", NO_LOGPROBS)]
    if len(logprobs) != len(ids) or len(ids) > most:
        raise BadReply(f"{len(ids)} tokens with {len(logprobs)} log-probabilities, where at most {most} were asked for")
    return Generation(text, tuple(ids), tuple(logprobs), finish, tokens)


def written(choice: Mapping[str, Any], tokens: int) -> Generation | Failure:
    """A chat reply's text."""
    if refusal := _refusal(choice):
        return refusal
    finish, message = _finish(choice), _message(choice)
    if message.get("content") is None:
        thought = next((name for name in ("reasoning_content", "reasoning") if message.get(name)), None)
        if thought and finish == "length":
            return Failure(FailureReason.TRUNCATED, f"all tokens went into {thought}; give more, or serve without reasoning")
        raise BadReply(f"the reply has no content{f', only {thought}' if thought else ''}")
    return Generation(_text(message["content"], "content"), (), (), finish, tokens)


def model_card(content: Mapping[str, Any], name: str) -> Card | list[str]:
    """The model called ``name`` (the first one for '') as the server's list has it; the list's names where it is not there."""
    cards = content.get("data")
    if not isinstance(cards, list) or not cards or not all(isinstance(card, dict) for card in cards):
        raise BadReply(f"data is {_shown(cards)} where a list of models belongs")
    names = [_text(card.get("id"), "a model's id") for card in cards]
    if name and name not in names:
        return names
    card = cards[names.index(name) if name else 0]
    root, context = card.get("root"), card.get("max_model_len")
    if not (root is None or isinstance(root, str)) or not (context is None or (type(context) is int and context > 0)):
        raise BadReply(f"the model has the root {_shown(root)} and the context {_shown(context)}")
    return Card(_text(card.get("id"), "a model's id"), root or "", card.get("owned_by") == "vllm", context)


def token_ids(content: Mapping[str, Any]) -> list[int]:
    """What a server's tokenizer makes of a text."""
    tokens = content.get("tokens")
    if not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
        raise BadReply(f"tokens is {_shown(tokens)} where token ids belong")
    return tokens


def _inside(choice: Mapping[str, Any], outer: str, inner: str, remedy: str) -> list[Any]:
    """The list in ``choice[outer][inner]``, which holds something."""
    held = choice.get(outer)
    if held is not None and not isinstance(held, dict):
        raise BadReply(f"{outer} is {_shown(held)} where an object belongs")
    entries = (held or {}).get(inner)
    if entries is not None and not isinstance(entries, list):
        raise BadReply(f"{outer}.{inner} is {_shown(entries)} where a list belongs")
    if not entries:
        raise BadReply("it gives no log-probabilities", remedy)
    return entries


def _entry(entry: Any) -> tuple[set[str], float]:
    """One listed token: the ways it may be read, without space around, and its log-probability."""
    if not isinstance(entry, dict):
        raise BadReply(f"top_logprobs holds {_shown(entry)} where an object belongs")
    names = {_spelling(_text(entry.get("token"), "token")).strip()}
    if isinstance(raw := entry.get("bytes"), list) and all(type(byte) is int and 0 <= byte < 256 for byte in raw):
        names.add(bytes(raw).decode("utf-8", "replace").strip())
    value = entry.get("logprob")
    return names, -math.inf if value == -math.inf else _logprob(value)  # what a grammar forbids is listed so


def _spelling(token: str) -> str:
    """A token as text, where the server gives it as its tokenizer spells it: ``▁A``, ``ĠA``, ``Ċ``, ``<0x41>``."""
    if byte := re.fullmatch(r"<0x([0-7][0-9A-Fa-f])>", token):
        return chr(int(byte[1], 16))
    return token.translate({ord("▁"): " ", ord("Ġ"): " ", ord("Ċ"): "\n", ord("ĉ"): "\t"})


def _unlisted(logprobs: Sequence[float]) -> float:
    """What a token that is not listed has at most: no more than the last one listed, and than all that is not listed."""
    rest = max(1.0 - sum(map(math.exp, logprobs)), 1e-12)
    return min([math.log(rest), *(value for value in logprobs if value > -math.inf)])


def _logprob(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e9 or value != value:
        raise BadReply(f"a log-probability is {_shown(value)}")
    if value > ROUNDING:
        raise BadReply(f"a log-probability is {value:.3g}, above 0")
    return min(0.0, float(value))


def _check_mass(logprobs: Any) -> None:
    mass = sum(map(math.exp, logprobs))
    if mass > 1 + MASS_ROUNDING:
        raise BadReply(f"the tokens' probabilities sum to {mass:.3g}")


def _finish(choice: Mapping[str, Any], optional: bool = False) -> Literal["stop", "length"]:
    """optional: where it does not matter to what is read whether the text went on, none need be given."""
    reason = choice.get("finish_reason")
    if isinstance(reason, str) and reason in CUT:
        return "length"
    if not (isinstance(reason, str) and reason in STOPPED) and not (optional and reason is None):
        raise BadReply(f"finish_reason is {_shown(reason)}")
    return "stop"


def _message(choice: Mapping[str, Any]) -> dict[str, Any]:
    message = choice.get("message")
    if not isinstance(message, dict):
        raise BadReply(f"message is {_shown(message)} where an object belongs")
    return message


def _refusal(choice: Mapping[str, Any]) -> Failure | None:
    refusal = _message(choice).get("refusal")
    if refusal and isinstance(refusal, str):
        return Failure(FailureReason.REFUSED, one_line(refusal))
    return _filtered(choice)


def _filtered(choice: Mapping[str, Any]) -> Failure | None:
    return Failure(FailureReason.REFUSED, "content filter") if choice.get("finish_reason") == "content_filter" else None


def _text(value: Any, what: str) -> str:
    """``value``, which is a string of characters that can be written to a file. What was sent as a secret is not in it."""
    if not isinstance(value, str):
        raise BadReply(f"{what} is {_shown(value)} where a string belongs")
    if not value.isascii() and re.search("[\ud800-\udfff]", value):
        raise BadReply(f"{what} holds half a character (a lone surrogate)")
    return without_sent(value)


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, list | dict) and not value:
        return "empty"
    try:
        return one_line(value if isinstance(value, str) else repr(value))
    except RecursionError:
        return "too deep"
