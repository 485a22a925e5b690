"""Rounds of sampling, judging and training: each begins where the last one ended, and stopping changes nothing."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rlaif.data.read import read_rows
from rlaif.engines.identity import content_hash
from rlaif.errors import RunFailed, UsageError
from rlaif.lab.world import rows
from rlaif.progress import Progress
from rlaif.sample.config import SampleConfig
from rlaif.sample.run import sample_rows
from rlaif.settings import configure, flat, settings_of
from rlaif.train.best_of_n import run_best_of_n
from rlaif.train.feedback import BestOfN, Feedback, best_of_n_configuration, rounds_configuration
from rlaif.train.rounds import round_seed, run_preference_rounds
from tests.reference.report_page import Page

CONSTITUTION = "{name: c, version: 1, principles: [{id: polite, text: The response is polite and friendly to the reader.}]}"


def in_folder(folder):
    """Six prompts of the lab's world, and a function from options to a configuration of two rounds over them."""
    (folder / "c.yaml").write_text(CONSTITUTION)
    prompts = [{"id": f"p{n}", "prompt": row["prompt"]} for n, row in enumerate(rows(6, seed=5, split="train"))]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))

    def config(out="run", method="dpo", feedback=None, **options):
        given = {"source": str(folder / "prompts.jsonl"), "model": "lab:policy", "out": folder / out, "max_steps": 2}
        given |= {"batch_size": 4, "learning_rate": 1e-3, **options}
        asked = {"rounds": 2, "samples": 3, "max_tokens": 16, "critic": "lab", "constitution": folder / "c.yaml"}
        asked |= {"store": folder / f"{out}.sqlite", **(feedback or {})}
        kind = best_of_n_configuration() if method == "best-of-n" else rounds_configuration(method)
        return configure(kind, **{**given, **asked})

    return config


@pytest.fixture
def setting(tmp_path):
    return in_folder(tmp_path)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Two rounds of dpo, never stopped: (configuration, run.json, names of the stages)."""
    config, stages = in_folder(tmp_path_factory.mktemp("straight"))(), []
    run = run_preference_rounds(config, Progress(lambda name, total, done: stages.append(name)))
    return config, run, stages


def content(folder):
    """What two runs that did the same have in common: all but paths, times and process numbers."""
    names = "**/samples*.jsonl", "**/preferences.jsonl", "**/failures.jsonl", "**/scores.jsonl", "**/*.safetensors"
    found = {str(path.relative_to(folder)): path.read_bytes() for name in names for path in folder.glob(name)}
    run = json.loads((folder / "run.json").read_text())
    return found, [entry["metrics"] for entry in run["rounds"]], run["status"]


def stopping(stage, later):
    """A progress that raises when ``stage`` begins, or so many updates later."""
    now, left = "", later

    def count():
        nonlocal left
        left -= now == stage
        if left < 0:
            raise KeyboardInterrupt

    def begin(name, total, done):
        nonlocal now
        now = name
        count()

    return Progress(begin, lambda done, figures: count())


def test_stopped_in_any_stage_it_ends_in_the_same_bytes(setting, straight):
    config, _, stages = straight
    assert stages == [f"{n}/2 {name}" for n in (1, 2) for name in ("sample", "label", "reference", "train", "save")]
    stopped = setting("stopped")
    for name in stages:
        for later in (0, 1) if re.search("sample|train", name) else (0,):
            with pytest.raises(KeyboardInterrupt):
                run_preference_rounds(stopped, stopping(name, later))
            assert not (stopped.train.out / "model").exists()
    run_preference_rounds(stopped)
    found = content(stopped.train.out)
    assert found == content(config.train.out)
    assert found[2] == "finished"
    assert "model/model.safetensors" in found[0]
    assert not list(stopped.train.out.rglob("*.part"))


def test_each_round_begins_with_the_model_of_the_round_before(straight):
    config, run, _ = straight
    out = config.train.out
    first, second = run["rounds"]
    bases = [json.loads((out / f"round-{n}" / "train" / "run.json").read_text())["base"] for n in (1, 2)]
    hashes = [content_hash(out / f"round-{n}" / "train" / "model") for n in (1, 2)]
    assert bases[1] == f"model@{hashes[0]}"
    assert run["base"] == bases[0]
    assert bases[0] != bases[1]
    assert hashes[0] != hashes[1] == content_hash(out / "model")
    assert second["model"] == str(out / "round-2" / "train" / "model")
    assert first["seed"] == config.train.seed != second["seed"] == round_seed(config.train.seed, 2)
    labelled = [json.loads((out / f"round-{n}" / "label" / "run.json").read_text()) for n in (1, 2)]
    assert [label["counts"]["rows_out"] for label in labelled] == [9, 9]  # of 3 prompts with 3 responses, all pairs
    assert [label["seed"] for label in labelled] == [entry["seed"] for entry in (first, second)]
    card = (out / "model" / "README.md").read_text()
    assert "rounds | 2" in card
    (loss, *_) = Page((out / "report.html").read_text()).blocks["training"]["panels"]
    assert [one["name"] for one in loss["series"]] == ["round 1", "round 2"]
    assert "critic@" in card


def test_each_prompt_is_sampled_once(straight):
    out = straight[0].train.out
    ids = [[json.loads(line)["id"] for line in (out / f"round-{n}" / "samples.jsonl").read_text().splitlines()] for n in (1, 2)]
    assert ids == [["p0", "p2", "p4"], ["p1", "p3", "p5"]]


def test_the_samples_of_a_round_are_its_models(straight, tmp_path):
    """The second round's samples are what ``rlaif sample`` draws from the first round's model."""
    config, out = straight[0], straight[0].train.out
    again = configure(
        SampleConfig,
        source=config.train.source,
        model=str(out / "round-1" / "train"),
        out=tmp_path / "again.jsonl",
        samples=3,
        max_tokens=16,
        seed=round_seed(0, 2),
        store=tmp_path / "another.sqlite",
    )
    sample_rows(list(read_rows(config.train.source))[1::2], 3, again)
    assert (tmp_path / "again.jsonl").read_bytes() == (out / "round-2" / "samples.jsonl").read_bytes()


def test_one_round_without_a_number_has_no_sub_folders(setting):
    config = setting(method="kto", feedback={"rounds": None}, learning_rate=1e-4)
    run = run_preference_rounds(config)
    assert {path.name for path in config.train.out.iterdir() if path.is_dir()} == {"label", "train", "model"}
    assert run["rounds"][0]["metrics"]["pairs"] == 18
    assert run["metrics"] == run["rounds"][-1]["metrics"]


def test_a_finished_run_is_left_as_it_is(straight):
    config, run, _ = straight

    def never(*given):
        raise AssertionError(given)

    assert run_preference_rounds(config, Progress(never, never)) == run


def test_stopped_before_the_model_is_in_place_it_is_put_there(straight, monkeypatch):
    config, run, _ = straight
    before = content_hash(config.train.out / "model")
    shutil.rmtree(config.train.out / "model")
    copy = shutil.copytree

    def half(source, target):
        copy(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copytree", half)
    with pytest.raises(KeyboardInterrupt):
        run_preference_rounds(config)
    assert not (config.train.out / "model").exists()
    monkeypatch.undo()
    assert run_preference_rounds(config)["rounds"] == run["rounds"]
    assert content_hash(config.train.out / "model") == before
    assert {path.name for path in config.train.out.iterdir() if path.is_dir()} == {"round-1", "round-2", "model"}


def test_overwriting_starts_afresh(setting):
    config, stages = setting(feedback={"rounds": 1}), []
    run = run_preference_rounds(config)
    (config.train.out / "round-9").mkdir()
    again = replace(config, train=replace(config.train, overwrite=True))
    run_again = run_preference_rounds(again, Progress(lambda name, total, done: stages.append(name)))
    assert stages == ["sample", "label", "reference", "train", "save"]
    assert run_again["rounds"] == run["rounds"]
    assert not (config.train.out / "round-9").exists()


@pytest.mark.parametrize(
    ("options", "feedback", "said"),
    [
        ({"learning_rate": 1e-4}, {}, "learning-rate 0.001, not 0.0001"),
        ({}, {"temperature": 0.5}, "temperature 1.0, not 0.5"),
        ({}, {"rounds": 3}, "rounds 2, not 3"),
        ({"method": "ipo"}, {}, "method 'dpo', not 'ipo'"),
    ],
)
def test_another_run_is_never_continued(straight, options, feedback, said):
    kind = rounds_configuration(options.pop("method", "dpo"))
    given = {name: value for name, value in flat(straight[0]).items() if name in settings_of(kind)}
    with pytest.raises(UsageError, match=said):
        run_preference_rounds(configure(kind, **{**given, **options, **feedback}))


def test_other_prompts_are_not_continued_with(straight):
    with pytest.raises(UsageError, match="limit None, not 5"):
        run_preference_rounds(replace(straight[0], train=replace(straight[0].train, limit=5)))
    prompts = Path(straight[0].train.source)
    before = prompts.read_text()
    prompts.write_text(before + '{"prompt": "one more"}\n')
    with pytest.raises(UsageError, match="other rows in"):
        run_preference_rounds(straight[0])
    prompts.write_text(before)


def test_a_folder_of_no_run_is_left_alone(setting):
    config = setting()
    (config.train.out / "model").mkdir(parents=True)
    with pytest.raises(UsageError, match="exists and belongs to no run"):
        run_preference_rounds(config)


@pytest.mark.parametrize(
    ("feedback", "said"),
    [
        ({"critic": "./nowhere"}, "no such folder"),
        ({"critic": "lab:nobody"}, "the lab has no such model"),
        ({"rounds": 7}, "6 prompts for 7 rounds"),
        ({"pairs": "most"}, "pairs"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_sampled(setting, feedback, said):
    config = setting(feedback=feedback)
    with pytest.raises(UsageError, match=said):
        run_preference_rounds(config)
    assert not config.train.out.exists()


def test_feedback_needs_somebody_to_give_it(setting, tmp_path):
    for options in ({}, {"critic": "lab"}, {"constitution": tmp_path / "c.yaml"}):
        with pytest.raises(UsageError, match="who is to judge"):
            configure(Feedback, **options).check()
    with pytest.raises(UsageError, match="one or the other"):
        configure(BestOfN, critic="lab", reward_model="rm").check()
    with pytest.raises(UsageError, match="takes two"):
        run_preference_rounds(setting(feedback={"samples": 1}))


def test_a_critic_that_fails_ends_the_run_and_the_next_one_continues(setting, tmp_path):
    script = tmp_path / "s.yaml"
    script.write_text("rules: [{fail: engine_error}]")
    config = setting(feedback={"critic": f"script:{script}", "rounds": 1})
    with pytest.raises(RunFailed, match="verdicts failed"):
        run_preference_rounds(config)
    assert json.loads((config.train.out / "run.json").read_text())["status"] == "failed"
    samples = (config.train.out / "round-1" / "samples.jsonl").read_bytes()
    script.write_text("rules: [{when: '(?s)<response_a>.{0,9}[A-M]', choose: {A: 0.8, B: 0.1}}, {choose: {A: 0.3, B: 0.6}}]")
    assert run_preference_rounds(config)["status"] == "finished"
    assert (config.train.out / "round-1" / "samples.jsonl").read_bytes() == samples


def test_best_of_n_goes_in_rounds_too(setting):
    config = setting(method="best-of-n")
    run = run_best_of_n(config)
    assert run["method"] == "best-of-n"
    assert [entry["metrics"]["prompts"] for entry in run["rounds"]] == [3, 3]
    assert (config.train.out / "round-2" / "label" / "sft.jsonl").is_file()
