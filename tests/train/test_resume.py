"""A run that is killed and done again ends in the same weights, to the last bit."""

from __future__ import annotations

import shutil

import pytest
from safetensors.torch import load_file

from rlaif.progress import Progress
from rlaif.train.loop import last_checkpoint
from rlaif.train.reference import _compute


class Killed(BaseException):
    """As Ctrl-C or a signal ends a run: nothing catches it."""


def killed_after(steps):
    def update(done, figures):
        if done == steps and figures:
            raise Killed

    return Progress(update=update)


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("dpo", {"micro_batch": 2, "batch_size": 4}),
        ("dpo", {"lora": 4, "eval_fraction": 0.25, "patience": 2}),
        ("kto", {"schedule": "cosine", "warmup": 0.3}),
        ("reward", {}),
        ("reward", {"lora": 4}),
        ("reward", {"settings": {"members": 3}}),
    ],
)
def test_half_and_half_is_the_whole(train, log, pairs, write, tmp_path, method, options):
    source, options = write(pairs), {"save_every": 3, "max_steps": 6, "batch_size": 4, **options}
    train(method, source, "straight", **options)
    with pytest.raises(Killed):
        train(method, source, "resumed", killed_after(5), **options)
    assert last_checkpoint(tmp_path / "resumed" / "checkpoints").name == "checkpoint-3"
    assert not (tmp_path / "resumed" / "model").exists()
    train(method, source, "resumed", **options)
    straight, resumed = weights(tmp_path / "straight"), weights(tmp_path / "resumed")
    assert straight.keys() == resumed.keys()
    assert all((straight[name] == resumed[name]).all() for name in straight)
    assert [entry["loss"] for entry in log("straight")] == [entry["loss"] for entry in log("resumed")]


def test_a_checkpoint_that_was_not_written_to_its_end_is_passed_over(train, pairs, write, tmp_path):
    options = {"save_every": 2, "max_steps": 6, "batch_size": 4}
    train("dpo", write(pairs), "straight", **options)
    with pytest.raises(Killed):
        train("dpo", write(pairs), "resumed", killed_after(5), **options)
    checkpoints = tmp_path / "resumed" / "checkpoints"
    (checkpoints / "checkpoint-4" / "trainer_state.json").unlink()
    assert last_checkpoint(checkpoints).name == "checkpoint-2"
    train("dpo", write(pairs), "resumed", **options)
    straight, resumed = weights(tmp_path / "straight"), weights(tmp_path / "resumed")
    assert all((straight[name] == resumed[name]).all() for name in straight)


def test_a_run_killed_while_its_model_was_saved_saves_it_again(train, pairs, write, tmp_path, monkeypatch):
    from rlaif.train import run

    def killed(*arguments):
        raise Killed

    options = {"max_steps": 2, "eval_fraction": 0.25}
    train("dpo", write(pairs), "straight", **options)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(run, "save", killed)
        train("dpo", write(pairs), "resumed", **options)
    train("dpo", write(pairs), "resumed", **options)
    straight, resumed = weights(tmp_path / "straight"), weights(tmp_path / "resumed")
    assert all((straight[name] == resumed[name]).all() for name in straight)


def test_a_finished_run_is_left_as_it_is(train, pairs, write, tmp_path):
    first = train("dpo", write(pairs), max_steps=1)
    before = (tmp_path / "run" / "model" / "model.safetensors").stat().st_mtime_ns
    assert train("dpo", write(pairs), max_steps=1) == first
    assert (tmp_path / "run" / "model" / "model.safetensors").stat().st_mtime_ns == before
    shutil.rmtree(tmp_path / "run" / "model")
    train("dpo", write(pairs), max_steps=1)
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


def test_reference_log_probabilities_are_computed_once(train, pairs, write, monkeypatch):
    calls = []
    monkeypatch.setattr("rlaif.train.reference._compute", lambda *given: calls.append(1) or _compute(*given))
    with pytest.raises(Killed):
        train("dpo", write(pairs), progress=killed_after(3), save_every=2)
    train("dpo", write(pairs), save_every=2)
    assert calls == [1]
    train("ipo", write(pairs), "other", max_steps=1)
    assert calls == [1, 1]
