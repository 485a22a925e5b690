"""The reader of replies: what a reply says, or BadReply. Ten thousand mutated replies end in one or the other."""

import copy
import json
import math
import random

import pytest

from rlaif.engines import replies
from rlaif.engines.base import Choice, Failure, FailureReason, Generation
from rlaif.engines.problem import Problem, read_reply
from rlaif.engines.replies import BadReply, Card

LISTED = [
    {"token": "A", "logprob": math.log(0.6)},
    {"token": " B", "logprob": math.log(0.2)},
    {"token": "C", "logprob": math.log(0.1)},
]


def place(listed, token="A", logprob=-0.5):
    return {"token": token, "logprob": logprob, "top_logprobs": listed}


def chat(*places):
    return {"index": 0, "message": {"content": "A"}, "finish_reason": "length", "logprobs": {"content": list(places)}}


def listed(entries, labels=("A", "B"), token="A"):
    return replies.listed(chat(place(entries, token)), labels, 1)


def entries(**probabilities):
    return [{"token": token, "logprob": math.log(p)} for token, p in probabilities.items()]


def test_an_unlisted_label_gets_its_upper_bound():
    choice = listed([LISTED[0], LISTED[2]])
    assert choice.logprobs == pytest.approx((math.log(0.6), math.log(0.1)))
    assert choice.mass == pytest.approx(0.6)
    assert listed(entries(A=0.98, C=0.015)).logprobs[1] == pytest.approx(math.log(0.005))
    assert listed([LISTED[2]], token="C").mass == 0


def test_variants_of_a_label_are_summed():
    both = [*entries(A=0.3, B=0.1), {"token": " A", "logprob": math.log(0.2)}]
    assert listed(both).logprobs[0] == pytest.approx(math.log(0.5))


@pytest.mark.parametrize("spelled", ["A", " A", "▁A", "ĠA", "ĊA", "<0x41>", "A\n"])
def test_a_token_is_read_however_the_server_spells_it(spelled):
    choice = listed([{"token": spelled, "logprob": math.log(0.6)}, LISTED[1]])
    assert choice.mass == pytest.approx(0.8)


def test_bytes_say_what_a_token_is():
    given = [{"token": "QQ==", "bytes": [32, 65], "logprob": math.log(0.6)}, LISTED[1]]
    assert listed(given).mass == pytest.approx(0.8)
    with pytest.raises(BadReply, match="another"):
        listed([{"token": "A", "bytes": [66], "logprob": -1.0}])


@pytest.mark.parametrize("blank", ["\n", " ", "Ċ", "▁"])
def test_a_label_behind_white_space_counts_with_the_way_to_it(blank):
    first = place([{"token": blank, "logprob": math.log(0.5)}, *entries(A=0.1)], blank, math.log(0.5))
    second = place(entries(A=0.2, B=0.7), "B", math.log(0.7))
    choice = replies.listed(chat(first, second, place([LISTED[0]])), ("A", "B"), 1)
    assert [math.exp(value) for value in choice.logprobs] == pytest.approx([0.1 + 0.5 * 0.2, 0.5 * 0.7])
    assert choice.mass == pytest.approx(0.55) and choice.raw == blank + "B"


def test_what_a_grammar_forbids_has_no_probability():
    choice = listed([*entries(A=0.9), {"token": "B", "logprob": -math.inf}])
    assert choice.mass == pytest.approx(0.9) and choice.logprobs[1] < -100


@pytest.mark.parametrize("value", [math.nan, math.inf, 5.0, 0.01, None, "x", True, [], 10**400, -(10**400), {}])
def test_what_is_no_log_probability_is_refused(value):
    with pytest.raises(BadReply, match="log-probability"):
        listed([{"token": "A", "logprob": value}])
    with pytest.raises(BadReply, match="log-probability"):
        replies.labelled(completion({"token_id:1": value, "token_id:2": -1.0}), [[1], [2]], 1, 0)


def test_rounding_is_not_held_against_a_server():
    choice = listed([{"token": "A", "logprob": 1e-5}])
    assert choice.logprobs[0] == pytest.approx(0) and choice.mass == 1


def test_probabilities_sum_to_one_at_most():
    with pytest.raises(BadReply, match="sum to 1"):
        listed(entries(A=0.9, B=0.5))
    with pytest.raises(BadReply, match="sum to 1"):
        replies.labelled(completion({"token_id:1": -0.1, "token_id:2": -0.2}), [[1], [2]], 1, 0)


def completion(given, **more):
    return {"index": 0, "text": "A", "finish_reason": "length", "logprobs": {"top_logprobs": [given]}, **more}


def test_labels_by_token_id():
    given = {"token_id:7": math.log(0.5), "token_id:8": math.log(0.2), "token_id:9": math.log(0.1)}
    choice = replies.labelled(completion(given), [[7, 9], [8]], 12, 3)
    assert choice == Choice(pytest.approx((math.log(0.6), math.log(0.2))), pytest.approx(0.8), "A", 12, 3)
    for broken in ({"token_id:7": -1.0}, {"A": -1.0, "B": -2.0}, [], {}):
        with pytest.raises(BadReply):
            replies.labelled(completion(broken), [[7, 9], [8]], 12, 3)


def test_choices_are_put_in_order_and_each_is_there_once():
    three = [{"index": index} for index in (2, 0, 1)]
    assert replies.choices_of({"choices": three}, 3, 1) == [[{"index": 0}], [{"index": 1}], [{"index": 2}]]
    for wrong in ([0, 0, 1], [1, 2, 3], [0, 1, None], [0, 1, True], [0, 1, 2.0], [0, 1], [0, 1, 2, 3]):
        with pytest.raises(BadReply):
            replies.choices_of({"choices": [{"index": index} for index in wrong]}, 3, 1)
    assert replies.choices_of({"choices": [{}, {}]}, 1, 2) == [[{}, {}]]
    with pytest.raises(BadReply):
        replies.choices_of({"choices": [{}, {}]}, 2, 1)


def drawn(content="hi", finish="stop", **message):
    return {"message": {"content": content, **message}, "finish_reason": finish}


def test_a_text_is_what_the_server_wrote():
    assert replies.written(drawn(), 3) == Generation("hi", (), (), "stop", 3)
    assert replies.written(drawn(finish="length"), 3).finish == "length"
    assert replies.written(drawn(""), 3).text == ""
    assert replies.written(drawn(None, refusal="No."), 3) == Failure(FailureReason.REFUSED, "No.")
    assert replies.written(drawn("half a", "content_filter"), 3).reason is FailureReason.REFUSED
    assert replies.written(drawn(None, "length", reasoning_content="hm"), 3).reason is FailureReason.TRUNCATED
    for wrong in (
        drawn(None),
        drawn(None, reasoning_content="hm"),
        drawn(["hi"]),
        drawn("\ud800"),
        drawn(finish="abort"),
        drawn(finish=None),
        drawn(finish=[]),
        {"message": None, "finish_reason": "stop"},
    ):
        with pytest.raises(BadReply):
            replies.written(wrong, 3)


def test_tokens_and_their_log_probabilities_are_parallel():
    def one(ids, logprobs, finish="stop"):
        return {"text": "hi", "finish_reason": finish, "token_ids": ids, "logprobs": {"token_logprobs": logprobs}}

    assert replies.completed(one([1, 2], [-1.0, -2]), 5, 9) == Generation("hi", (1, 2), (-1.0, -2.0), "stop", 5)
    assert replies.completed({"text": "hi", "finish_reason": "length"}, 5, 9) == Generation("hi", (), (), "length", 5)
    assert replies.completed(one([], [], "content_filter"), 5, 9).reason is FailureReason.REFUSED
    for wrong in (
        one([1, 2], [-1.0]),
        one([1, 2], None),
        one([1, -2], [-1.0, -1.0]),
        one([1, 99], [-1.0, -1.0]),
        one([1] * 10, [-1.0] * 10),
        one("12", [-1.0, -1.0]),
        one([1, 2], [-1.0, math.nan]),
    ):
        with pytest.raises(BadReply):
            replies.completed(wrong, 5, 9, vocabulary=50)


def test_a_models_card():
    card = {"id": "m", "root": "org/m", "owned_by": "vllm", "max_model_len": 512}
    assert replies.model_card({"data": [card]}, "") == Card("m", "org/m", True, 512)
    assert replies.model_card({"data": [{"id": "x"}, card]}, "m").root == "org/m"
    assert replies.model_card({"data": [{"id": "x"}]}, "m") == ["x"]
    for wrong in ({}, {"data": []}, {"data": [3]}, {"data": [{"id": None}]}, {"data": [{**card, "max_model_len": "512"}]}):
        with pytest.raises(BadReply):
            replies.model_card(wrong, "")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"<html>",
        b"[1]",
        b"null",
        b'{"a":',
        b'{"a": "\xff"}',
        b'{"a":' + b"[" * 100_000,
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_a_body_is_a_json_object(body):
    with pytest.raises(BadReply) as caught:
        replies.parsed(body)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 200


def test_an_error_in_a_reply_counts_as_what_it_says():
    def read(content, status=200):
        return read_reply(status, {}, json.dumps(content).encode(), lambda content: "read")

    assert read({"choices": None, "error": {"code": 429, "message": "slow"}}) == Problem("busy", "HTTP 429: slow")
    assert read({"error": {"code": "404", "message": "who?"}}).kind == "denied"
    assert read({"object": "error", "code": 400, "message": "maximum context length is 12"}).kind == "too_long"
    assert read({"error": "odd"}).kind == "bad"
    assert read({"error": None}) == "read"
    assert read({"error": {"message": "a\x1b[31m\r\nb\u202e"}}, 500).words == r"HTTP 500: a\x1b[31m b\u202e"


# ---- fuzz

JUNK = [None, True, -1, 0, 7, 1.5, math.nan, math.inf, -math.inf, 10**300, "", "A", "\ud800", [], {}, [[]], {"A": 1}, "x" * 500]


def valid(rng):
    """A reply of one of the shapes that are asked for, and how it is asked for."""
    kind = rng.choice(["listed", "labelled", "written", "completed"])
    values = [math.log(rng.random() / 4 + 1e-9) for _ in range(4)]
    if kind == "listed":
        listed = [{"token": token, "logprob": value} for token, value in zip(["A", " B", "C", " A"], values, strict=True)]
        return kind, {"choices": [chat(place(listed))], "usage": {"prompt_tokens": 7}}
    if kind == "labelled":
        given = [{f"token_id:{token}": value for token, value in enumerate(values)} for _ in range(2)]
        choices = [completion(one, index=index) for index, one in enumerate(given)]
        return kind, {"choices": rng.sample(choices, 2)}
    if kind == "written":
        return kind, {"choices": [{"index": index, **drawn(f"text {index}")} for index in rng.sample(range(3), 3)]}
    ids = [rng.randint(0, 40) for _ in values]
    choice = {"index": 0, "text": "t", "finish_reason": "stop", "token_ids": ids, "logprobs": {"token_logprobs": values}}
    return kind, {"choices": [choice]}


def containers(node):
    if isinstance(node, dict | list):
        yield node
        for child in node.values() if isinstance(node, dict) else node:
            yield from containers(child)


def mutate(rng, content):
    content = copy.deepcopy(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        node = rng.choice([one for one in containers(content) if one] or [content])
        if not node:
            break
        name = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        change = rng.random()
        if change < 0.5:
            node[name] = copy.deepcopy(rng.choice(JUNK))
        elif change < 0.65:
            del node[name]
        elif change < 0.8 and isinstance(node[name], int | float):
            node[name] *= rng.choice([-1, 1e3, 0, 2])
        elif isinstance(node, list):
            node.insert(rng.randint(0, len(node)), copy.deepcopy(node[name]))
        else:
            node[rng.choice(["index", "error", "content", "token", "junk"])] = copy.deepcopy(node[name])
    body = bytearray(json.dumps(content).encode())
    if rng.random() < 0.3:
        for _ in range(rng.choice([1, 3])):
            if rng.random() < 0.5:
                body[rng.randrange(len(body))] = rng.randrange(256)
            else:
                del body[rng.randrange(len(body)) :]
                body += b" "
    return bytes(body)


def read(kind, body):
    def reader(content):
        if kind == "labelled":
            return [replies.labelled(one[0], [[0, 3], [1]], 5, 0) for one in replies.choices_of(content, 2, 1)]
        if kind == "listed":
            ((one,),) = replies.choices_of(content, 1, 1)
            return [replies.listed(one, ("A", "B"), replies.prompt_tokens(content))]
        if kind == "written":
            return [replies.written(one, 5) for one in replies.choices_of(content, 1, 3)[0]]
        return [replies.completed(one, 5, 4, 41) for one in replies.choices_of(content, 1, 1)[0]]

    return read_reply(200, {}, body, reader)


def said(kind, body):
    """What a trusting reader finds in the same place: probabilities of the labels, or texts with tokens."""
    choices = json.loads(body)["choices"]
    choices = sorted(choices, key=lambda choice: choice["index"]) if len(choices) > 1 and "index" in choices[0] else choices
    if kind == "labelled":
        given = [choice["logprobs"]["top_logprobs"][0] for choice in choices]
        return [(math.exp(one["token_id:0"]) + math.exp(one["token_id:3"]), math.exp(one["token_id:1"])) for one in given]
    if kind == "listed":
        (choice,) = choices
        found = choice["logprobs"]["content"][0]["top_logprobs"]
        return [tuple(sum(math.exp(one["logprob"]) for one in found if one["token"].strip() == label) for label in "AB")]
    if kind == "written":
        return [choice["message"]["content"] for choice in choices]
    (choice,) = choices
    ids = choice.get("token_ids")
    return [(choice["text"], ids, choice["logprobs"]["token_logprobs"] if ids else [])]


def test_ten_thousand_mutated_replies():
    rng = random.Random(0)
    outcomes = {"read": 0, "not": 0}
    for _ in range(12_000):
        kind, content = valid(rng)
        body = mutate(rng, content)
        found = read(kind, body)
        if isinstance(found, Problem):
            assert found.words and found.words.isprintable() and len(found.words) < 400
            outcomes["not"] += 1
            continue
        outcomes["read"] += 1
        for one in found:
            assert isinstance(one, Choice | Generation) or (one.detail and one.detail.isprintable())
        if any(isinstance(one, Failure) for one in found):
            continue
        for one, truth in zip(found, said(kind, body), strict=True):
            if isinstance(one, Choice):
                for value, p in zip(one.logprobs, truth, strict=True):
                    assert math.isfinite(value) and value <= 0
                    assert (math.exp(value) == pytest.approx(p, abs=1.1e-3)) or (p == 0 and one.mass < 1)
                assert one.mass == pytest.approx(min(1, sum(truth)), abs=3e-3)
            elif kind == "written":
                assert one.text == truth
            else:
                assert (one.text, list(one.token_ids)) == (truth[0], truth[1] or [])
                assert list(one.logprobs) == pytest.approx(truth[2], abs=1.1e-3)
    assert min(outcomes.values()) > 1500
