"""A sampling run gives every usable prompt its responses, draws none twice, and lists what it could not answer."""

from __future__ import annotations

import json

import pytest

from rlaif.engines import EngineConfig
from rlaif.engines.open import model_path
from rlaif.engines.scripted import ScriptedEngine
from rlaif.errors import RunFailed, UsageError
from rlaif.progress import Progress
from rlaif.sample.config import SampleConfig
from rlaif.sample.run import run_sample
from rlaif.settings import configure

SCRIPT = """
rules:
  - {when: poison, fail: refused}
  - {when: network, fail: engine_error}
  - {generate: Sure.}
"""


@pytest.fixture
def prompts(tmp_path):
    def write(*rows):
        path = tmp_path / "prompts.jsonl"
        path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


@pytest.fixture
def sample(tmp_path):
    """Sample by a script into a folder of its own; returns (counts, records, failures)."""
    (tmp_path / "s.yaml").write_text(SCRIPT)

    def call(source, progress=None, **options):
        given = {"model": f"script:{tmp_path / 's.yaml'}", "out": tmp_path / "s.jsonl", "samples": 2, **options}
        config = configure(SampleConfig, source=source, store=tmp_path / "v.sqlite", **given)
        counts = run_sample(config, progress)
        return counts, *([json.loads(line) for line in path.read_text().splitlines()] for path in (config.out, config.failures))

    return call


def test_each_prompt_has_its_responses_and_its_columns(sample, prompts):
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    counts, records, failures = sample(prompts({"prompt": "Hi", "id": "a", "tags": ["x"]}, {"prompt": turns}), samples=3)
    assert counts == {"rows_in": 2, "rows_out": 2, "rows_failed": 0, "responses_cut": 0}
    assert failures == []
    asked = [{"role": "user", "content": "Hi"}]
    assert records[0] == {"id": "a", "prompt": asked, "tags": ["x"], "responses": ["Sure."] * 3, "finish": ["stop"] * 3}
    assert records[1]["prompt"] == turns


def test_responses_that_are_there_are_replaced(sample, prompts):
    rows = {"prompt": "Hi", "responses": ["old", "older"]}, {"prompt": "Ho", "chosen": "old", "rejected": "older"}
    _, records, _ = sample(prompts(*rows))
    assert [record["responses"] for record in records] == [["Sure.", "Sure."]] * 2
    assert not any("old" in json.dumps(record) for record in records)


def test_what_has_no_answer_is_listed_and_never_made_up(sample, prompts):
    source = prompts({"prompt": "Hi"}, "{broken\n", {"prompt": "poison"}, {"prompt": ""}, {"prompt": "Ho"})
    counts, records, failures = sample(source)
    assert [record["id"] for record in records] == ["1", "5"]
    assert counts == {"rows_in": 5, "rows_out": 2, "rows_failed": 3, "responses_cut": 0}
    assert [failure["row"] for failure in failures] == [2, 3, 4]
    assert "refused" in failures[1]["detail"]


def test_a_run_without_any_response_fails_and_leaves_no_file(sample, prompts, tmp_path):
    with pytest.raises(RunFailed, match="none of the 1 rows"):
        sample(prompts({"prompt": "poison"}))
    assert not (tmp_path / "s.jsonl").exists()
    assert "refused" in (tmp_path / "s.failures.jsonl").read_text()


def test_only_the_first_rows(sample, prompts):
    counts, *_ = sample(prompts(*({"prompt": f"Hi {n}"} for n in range(5))), limit=3)
    assert counts["rows_in"] == 3


def test_stopped_and_continued_it_draws_nothing_twice(sample, prompts, monkeypatch, tmp_path):
    """Groups of two prompts; the policy's answers count up, so that a second draw would show."""
    source, drawn = prompts(*({"prompt": f"Hi {n}"} for n in range(7))), []
    monkeypatch.setattr("rlaif.sample.policy.GROUP", 4)
    generate = ScriptedEngine.generate

    async def counted(self, asked, sampling):
        drawn.extend(message.text for prompt in asked for message in prompt)
        return await generate(self, asked, sampling)

    monkeypatch.setattr(ScriptedEngine, "generate", counted)

    def stop(done, figures):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(source, Progress(update=stop))
    assert not (tmp_path / "s.jsonl").exists()
    assert len(drawn) >= 4
    _, records, _ = sample(source)
    assert len(records) == 7
    assert sorted(drawn) == sorted({f"Hi {n}" for n in range(7)})


def test_the_seed_and_the_shape_of_the_draw_matter(sample, prompts):
    """With a real policy: another seed, other texts; the same seed, the same, from another store too."""
    source = prompts({"prompt": "How do I brew tea?"}, {"prompt": "How do I cook rice?"})

    def texts(**options):
        return [
            record["responses"] for record in sample(source, model="lab:policy", max_tokens=24, overwrite=True, **options)[1]
        ]

    first = texts(seed=1)
    assert first != texts(seed=2)
    assert first == texts(seed=1)
    assert len({response for responses in first for response in responses}) > 1
    greedy = texts(temperature=0.0, samples=1)
    assert texts(top_p=0.01) == [responses * 2 for responses in greedy]
    counts, records, _ = sample(source, model="lab:policy", max_tokens=2, overwrite=True)
    assert [record["finish"] for record in records] == [["length"] * 2] * 2
    assert counts["responses_cut"] == 4
    with pytest.raises(UsageError, match="all 2 responses to a prompt would be the same"):
        texts(temperature=0.0)


def test_the_output_must_be_json_lines(sample, prompts, tmp_path):
    with pytest.raises(UsageError, match=r"\.jsonl"):
        sample(prompts({"prompt": "Hi"}), out=tmp_path / "s.csv")


def test_a_training_runs_folder_is_a_model(tmp_path):
    """OUT stands for OUT/model, unless it is a model itself."""
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    (run / "model" / "config.json").write_text("{}")
    assert model_path(str(run)) == str(run / "model")
    (run / "config.json").write_text("{}")
    assert model_path(str(run)) == str(run)
    assert model_path("owner/name") == "owner/name"
    with pytest.raises(UsageError, match=r"no \.safetensors"):
        (run / "config.json").unlink()
        EngineConfig(str(run), engine="transformers").open()
