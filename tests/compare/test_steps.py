"""A step's configuration, and what is noted of it."""

from __future__ import annotations

import json

import pytest

from rlaif.compare.files import write_rows
from rlaif.compare.given import read_given
from rlaif.compare.recipes import STEPS, Step, steps
from rlaif.compare.steps import Place, configured, groups_of, measured, run_step
from rlaif.errors import RunFailed, UsageError
from rlaif.progress import Progress


@pytest.fixture
def place(lab, tmp_path):
    """The folder of seed 7, its rows written. given: text of the user's file."""

    def call(given="", paired=False, **settings):
        (tmp_path / "mine.yaml").write_text(given or "{}")
        config = lab(**settings)
        write_rows(config, [], tmp_path / "out" / "seed-7", 7)
        return Place(config, tmp_path / "out" / "seed-7", 7, steps(paired), read_given(tmp_path / "mine.yaml") if given else {})

    return call


def test_the_comparison_s_settings_go_to_every_step_that_has_them(place, tmp_path):
    at = place(critic_labels="sampled", votes=3, temperature=0.7, budget=64)
    sample, label, direct, dpo = (configured(at, name) for name in ("samples", "labels", "direct", "dpo"))
    assert sample.drawing.temperature == direct.temperature == 0.7
    assert label.critic.labels == direct.rewards.critic.labels == "sampled" and label.critic.votes == 3
    assert dpo.labels == "soft" and dpo.source == str(tmp_path / "out" / "seed-7" / "labels")
    assert sample.seed == label.critic.seed == direct.seed == dpo.seed == 7
    assert dpo.out == tmp_path / "out" / "seed-7" / "dpo"


def test_the_recipe_wins_over_them_and_the_user_s_file_over_all(place):
    given = "train: {learning_rate: 0.5}\non-policy: {learning_rate: 0.25}\nrlaif: {learning_rate: 0.125}\nlabels: {pairs: all}"
    at = place(given, budget=64)
    rates = {name: configured(at, name).learning_rate for name in ("dpo", "rlhf", "rlaif")}
    assert rates == {"dpo": 0.5, "rlhf": 0.25, "rlaif": 0.125}
    assert configured(at, "labels").pairs == "all" and configured(place(), "labels").pairs == "1"


def test_all_learn_from_as_many_responses_and_a_critic_is_asked_as_often(place):
    at = place(budget=256, samples=4)
    ppo, grpo, label = (configured(at, name) for name in ("rlhf", "grpo", "labels"))
    assert at.responses() == 256
    assert ppo.steps * ppo.batch_size * ppo.samples == 256 and ppo.samples == 1
    assert grpo.steps * grpo.batch_size * grpo.samples == 256 and grpo.samples == 4
    assert ppo.eval_prompts == 0  # held-out prompts are for the end
    assert label.pairs == "2"  # times two orders: as many questions as four scores


def test_names_for_several_steps():
    assert groups_of(STEPS["dpo"]) == ["train"] and groups_of(STEPS["rlhf"]) == ["train", "on-policy"]
    assert groups_of(STEPS["labels"]) == groups_of(STEPS["known"]) == []


def test_a_step_is_done_once(place, monkeypatch):
    at, ran = place(), []
    monkeypatch.setattr("rlaif.compare.steps.run_sample", lambda config, progress: ran.append(config.out))
    took = run_step(at, "samples", Progress())
    assert run_step(at, "samples", Progress()) == took and len(ran) == 1
    assert took["seconds"] >= 0 and took["cpu_seconds"] >= 0


def test_a_start_that_failed_counts_to_the_seconds(place, monkeypatch):
    at, ticks = place(), iter(range(0, 100, 10))
    monkeypatch.setattr("rlaif.compare.steps.time.monotonic", lambda: float(next(ticks)))

    def fail(config, progress):
        raise RunFailed("no")

    monkeypatch.setattr("rlaif.compare.steps.run_sample", fail)
    with pytest.raises(RunFailed):
        run_step(at, "samples", Progress())
    assert not json.loads(at.record("samples").read_text())["done"]
    monkeypatch.setattr("rlaif.compare.steps.run_sample", lambda config, progress: None)
    assert run_step(at, "samples", Progress())["seconds"] == 20.0


def test_a_step_of_other_settings_is_not_taken_for_this_one(place, monkeypatch):
    monkeypatch.setattr("rlaif.compare.steps.run_sample", lambda config, progress: None)
    run_step(place(), "samples", Progress())
    with pytest.raises(UsageError, match=r"samples\.step\.json: was made with temperature 1\.0, not 0\.5"):
        run_step(place(temperature=0.5), "samples", Progress())


def test_the_peak_is_the_block_s_own():
    took: dict[str, float] = {}
    with measured(took):
        held = bytearray(256 * 2**20)
    first = took["peak_bytes"]
    del held
    later: dict[str, float] = {}
    with measured(later):
        pass
    assert first == 0 or later["peak_bytes"] < first - 200 * 2**20  # 0 where the system does not tell


def test_where_memory_is_not_told_there_is_none(tmp_path):
    took: dict[str, float] = {}
    with measured(took, tmp_path / "nowhere" / "status"):
        pass
    assert took["peak_bytes"] == 0


def test_a_step_s_own_files_are_named_by_what_they_are(place):
    at = place()
    assert at.out("samples").name == "samples.jsonl" and at.out("two-models").name == "two-models.yaml"
    assert at.out("rlaif").name == "rlaif" and at.settings("two-model")["reward"] == str(at.out("two-models"))
    assert Step("label").needs == ()
