"""What a dry run says of tokens, caches and disk, against the run itself and against slow counting."""

import json
import random

import pytest

from rlaif.label import plan, rehearsal
from rlaif.label.config import LabelConfig
from rlaif.label.plan import dry_run
from rlaif.label.rehearsal import BLOCK, StandIn
from rlaif.label.run import run_label
from rlaif.settings import configure
from tests.tiny import save_model

CONSTITUTION = "name: t\nversion: 1\nprinciples:\n  - {id: kind, text: The response is kind.}\n  - {id: short, text: Short.}\n"
WORDS = "some words that a person says to another one when it rains and there is little else to do".split()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_model(tmp_path_factory.mktemp("tiny"), max_position_embeddings=1024))


@pytest.fixture
def asked(model, tmp_path):
    rng = random.Random(0)

    def text(words):
        return " ".join(rng.choice(WORDS) for _ in range(words))

    rows = [{"prompt": text(20), "responses": [text(30), text(rng.randint(10, 60))]} for _ in range(40)]
    rows[3]["responses"][0] = text(900)  # is cut to fit the context
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "c.yaml").write_text(CONSTITUTION)

    def config(**more):
        given = {"source": str(tmp_path / "rows.jsonl"), "constitution": tmp_path / "c.yaml", "critic": model, **more}
        fixed = {"out": tmp_path / "run", "store": tmp_path / "store.sqlite", "min_mass": 0.0, "max_failure_rate": 1.0}
        return configure(LabelConfig, engine="transformers", **{**fixed, **given})

    return config


def test_it_is_what_the_run_takes(asked, tmp_path):
    told = dry_run(asked())
    counts = run_label(asked())["counts"]
    assert (told.questions, told.tokens) == (counts["asked"], counts["prompt_tokens"]) == (160, counts["prompt_tokens"])
    written = [tmp_path / "run" / name for name in ("preferences.jsonl", "preferences.parquet")]
    assert told.files == pytest.approx(sum(path.stat().st_size for path in written), rel=0.2)
    assert told.store == pytest.approx((tmp_path / "store.sqlite").stat().st_size, rel=0.2)
    assert dry_run(asked()).tokens == 0  # all is in the store


def test_of_a_large_run_the_first_calls_are_rehearsed(asked, monkeypatch):
    whole = dry_run(asked())
    monkeypatch.setattr(rehearsal, "CALLS", 120)
    monkeypatch.setattr(plan, "CALLS", 120)
    part = dry_run(asked())
    assert part.questions == whole.questions and part.tokens != whole.tokens
    for name in ("tokens", "computed", "files"):
        assert getattr(part, name) == pytest.approx(getattr(whole, name), rel=0.25)


def test_what_is_computed_is_what_no_earlier_prompt_begins_with(asked, monkeypatch):
    read = []

    class Seen(StandIn):
        def _cached(self, ids):
            read.append(list(ids))
            return super()._cached(ids)

    monkeypatch.setattr(rehearsal, "StandIn", Seen)
    told = dry_run(asked())
    cached = 0
    for number, ids in enumerate(read):
        shared = max((common(ids, other) for other in read[:number]), default=0)
        cached += min(shared, len(ids) - 1) // BLOCK * BLOCK
    assert told.computed == told.tokens - cached
    assert 0.4 < cached / told.tokens < 0.95


def common(one, other):
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def test_texts_that_come_before_the_label_count_at_their_longest(asked):
    short, long = (dry_run(asked(reasons=True, reasons_tokens=tokens, out="r"), "H100") for tokens in (16, 64))
    assert short.questions == long.questions == 320 and short.tokens < long.tokens
    assert short.store < long.store and short.hours < long.hours


def test_every_mode_can_be_rehearsed(asked):
    for way in ({"mode": "score"}, {"mode": "rank", "min_mass": 0.1}, {"labels": "sampled", "votes": 3}):
        assert dry_run(asked(limit=3, **way)).files


def test_an_engine_without_a_tokenizer_has_no_prefixes(asked, tmp_path):
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.6, B: 0.3}}]")
    told = dry_run(asked(critic=f"script:{tmp_path / 's.yaml'}"))
    assert told.computed is None and told.tokens > 0 and told.files


@pytest.mark.parametrize("flags", [("--dry-run", "--gpu", "H100"), ("--gpu", "H100")])
def test_the_command_says_so(asked, model, rlaif, flags):
    asked()
    command = ("label", "rows.jsonl", "--constitution", "c.yaml", "--critic", model, "--engine", "transformers", "--out", "r")
    code, out, err = rlaif(*command, *flags)
    if "--dry-run" not in flags:
        assert code == 2 and "give --dry-run too" in err
        return
    assert code == 0, err
    assert "of these tokens are computed" in out and "hours of one H100" in out and "of verdicts in the store" in out
