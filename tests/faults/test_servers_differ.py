"""Servers that follow the protocol in their own ways: what each is asked, and what the user is told where that is no use."""

from __future__ import annotations

import json
import math
import random

import pytest

from rlaif.engines import client
from rlaif.errors import RunFailed, UsageError
from rlaif.label.config import LabelConfig
from rlaif.label.plan import dry_run
from rlaif.label.run import run_label
from rlaif.settings import configure
from tests.faults.server import FaultServer, Reply, serving

ROWS = 6
BEST = {"token": "A", "logprob": math.log(0.6)}
OTHERS = [{"token": "B", "logprob": math.log(0.2)}, {"token": "The", "logprob": math.log(0.1)}]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(client, "PATIENCE", client.Patience(pauses=(0.001,) * 7))


@pytest.fixture
def label(tmp_path, monkeypatch):
    """Label a few rows with a critic that answers ``reply(body)``: an error's words, or the choices; returns run.json."""
    (tmp_path / "c.yaml").write_text("{name: c, version: 1, principles: [{id: kind, text: The response is kind.}]}")
    rows = [{"prompt": f"p{i}", "responses": [f"a{i}", f"b{i}"]} for i in range(ROWS)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = []

    def answer(reply, path, body):
        asked.append(body)
        found = reply(body)
        return Reply({"error": {"message": found}}, 400) if isinstance(found, str) else Reply({"choices": found})

    def call(reply, out="run", run=run_label, **settings):
        monkeypatch.setattr(FaultServer, "answer", lambda self, path, body: answer(reply, path, body))
        given = {"source": str(tmp_path / "rows.jsonl"), "constitution": tmp_path / "c.yaml", "store": tmp_path / "s.sqlite"}
        with serving(FaultServer()) as server:
            return run(configure(LabelConfig, **{**given, "critic": server.url, "out": tmp_path / out, **settings}))

    call.asked, call.folder = asked, tmp_path
    return call


def verdict(*places):
    content = [{"token": listed[0]["token"], "logprob": listed[0]["logprob"], "top_logprobs": listed} for listed in places]
    return [{"index": 0, "message": {"content": "A"}, "finish_reason": "length", "logprobs": {"content": content}}]


def texts(*said, finish="stop"):
    return [{"index": place, "message": {"content": text}, "finish_reason": finish} for place, text in enumerate(said)]


def records(folder):
    return [json.loads(line) for line in (folder / "preferences.jsonl").read_text().splitlines()]


def test_fewer_log_probabilities_than_asked_for(label):
    def reply(body):
        return "top_logprobs: must be less than or equal to 5" if body["top_logprobs"] > 5 else verdict([BEST, *OTHERS])

    assert label(reply)["counts"]["verdicts"] == ROWS
    assert {body["top_logprobs"] for body in label.asked} == {20, 5}
    assert records(label.folder / "run")[0]["principles"][0]["p"] == pytest.approx(0.5)  # it says A in both orders


def test_another_name_for_the_longest_answer(label):
    def reply(body):
        return "max_tokens: use max_completion_tokens instead" if "max_tokens" in body else verdict([BEST, *OTHERS])

    assert label(reply)["counts"]["verdicts"] == ROWS
    assert label.asked[-1]["max_completion_tokens"] == 1


def test_a_label_behind_a_line_break(label):
    blank = [{"token": "\n", "logprob": math.log(0.9)}, {"token": "A", "logprob": math.log(0.01)}]

    def reply(body):
        return verdict(blank, [BEST, *OTHERS])[:1] if body["max_tokens"] > 1 else verdict(blank)

    assert label(reply)["counts"]["verdicts"] == ROWS
    mass = records(label.folder / "run")[0]["principles"][0]["mass"]
    assert mass == pytest.approx(0.01 + 0.9 * 0.8, abs=1e-6)


def test_a_critic_that_thinks_first_is_named_with_what_helps(label):
    thinking = [{"token": "<think>", "logprob": math.log(0.97)}, {"token": "A", "logprob": math.log(0.01)}]
    with pytest.raises(RunFailed, match=r"100% of verdicts: labels hold too little.*'<think>'.*--labels sampled"):
        label(lambda body: verdict(thinking))


@pytest.mark.parametrize("refusing", [True, False])
def test_a_server_without_log_probabilities_is_told_what_helps(label, refusing):
    def reply(body):
        return "logprobs is not supported by this model" if refusing and body.get("logprobs") else texts("A")

    with pytest.raises(RunFailed, match="--labels sampled --votes 8"):
        label(reply)
    assert len(label.asked) < 2 * ROWS * 9


def drawn(body):
    rng = random.Random(f"{body['seed']}")
    return texts(*rng.choices(["A", "B", "Answer: A", "I cannot say."], [5, 3, 1, 1], k=body["n"]))


def test_labels_from_texts(label):
    run = label(drawn, labels="sampled", votes=20)
    assert "labels sampled 20×" in run["critic"] and run["counts"]["verdicts"] == ROWS
    assert all(body["n"] == 20 and body["temperature"] == 1 and "logprobs" not in body for body in label.asked)
    for record in records(label.folder / "run"):
        (principle,) = record["principles"]
        assert "labels sampled" in record["critic"] and 0.6 < principle["mass"] <= 1
        assert abs(principle["gap"]) > 0  # A is liked whichever response it is
    assert label(drawn, "again", labels="sampled", votes=20)["counts"]["asked"] == 0
    assert label(drawn, "other", labels="sampled", votes=4)["counts"]["asked"] == 2 * ROWS


def test_scores_from_texts(label):
    run = label(lambda body: texts(*["7", "8."][: body["n"]]), labels="sampled", votes=2, mode="score")
    assert run["counts"]["verdicts"] == 2 * ROWS
    (first, *_) = [json.loads(line) for line in (label.folder / "run" / "scores.jsonl").read_text().splitlines()]
    assert first["score"] == pytest.approx((7.5 - 5) / 4)


def test_a_label_after_each_rationale(label):
    def reply(body):
        return drawn(body) if body["max_tokens"] == 512 and body["temperature"] == 1 else texts("It is kinder.")

    run = label(reply, labels="sampled", votes=3, reasons=True, max_failure_rate=1.0)
    assert run["counts"]["verdicts"] > 0
    assert len(label.asked) == 2 * 2 * 3 * ROWS and all(body["n"] == 1 for body in label.asked)


def test_texts_that_are_no_labels_are_failures(label):
    with pytest.raises(RunFailed, match=r"100% of verdicts: the reply is not in the form.*I cannot say"):
        label(lambda body: texts(*["I cannot say."] * body["n"]), labels="sampled", votes=2)


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({"labels": "sampled", "mode": "rank"}, "--labels sampled needs --mode compare or score"),
        ({"votes": 2}, "--reasons or --labels sampled"),
        ({"labels": "sampled", "votes": 2, "votes_temperature": 0.3}, "--votes-temperature needs --reasons"),
    ],
)
def test_settings_that_do_not_go_together(label, settings, needed):
    with pytest.raises(UsageError, match=needed):
        label(drawn, **settings)


def test_rows_that_cannot_be_judged_are_told_once(label):
    (label.folder / "bare.jsonl").write_text('{"prompt": "hi"}\n' * 40)
    for mode, source, said in (
        ("compare", "bare", "none of the 40 rows .* 100% of rows: the row has a prompt and no responses; --policy"),
        ("rank", "one", "none of the 1 rows .* 100% of rows: the row has one response"),
    ):
        (label.folder / "one.jsonl").write_text('{"prompt": "hi", "responses": ["a"]}\n')
        settings = {"mode": mode, "source": str(label.folder / f"{source}.jsonl"), "out": label.folder / source}
        with pytest.raises(RunFailed, match=said):
            label(drawn, **settings)
        with pytest.raises(UsageError, match=said):
            label(drawn, run=dry_run, **settings)


def test_a_context_in_which_nothing_fits_is_seen_before_anything_is_asked(label):
    with pytest.raises(UsageError, match=r"none of the 6 rows fits .*takes \d+ tokens without any text.*--critic-context"):
        label(drawn, run=dry_run, critic_context=64)
    assert not label.asked
