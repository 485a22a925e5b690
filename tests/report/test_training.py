import json

import pytest

from rlaif.report.training import facts, marks, read_lines, read_training, report, samples
from tests.reference.fake_training import STEPS, write_training
from tests.reference.report_page import Page


@pytest.fixture
def folder(tmp_path):
    return write_training(tmp_path / "run")


def test_the_page_of_an_on_policy_run(folder):
    text = report(folder)
    content = Page(text).blocks["training"]
    titles = [panel["title"] for panel in content["panels"]]
    assert titles[:3] == ["Reward", "Second judge", "Reward gained against √KL"]
    assert [one["name"] for one in content["panels"][2]["series"]][::2] == ["reward", "second judge (gold)"]
    assert len(content["samples"]) == 3 and "live" not in Page(text).tags
    head = text[: text.index("<main>")]
    assert "The reward on held-out prompts rose" in head and "Read this before you use the model" in head
    assert "connect-src" not in text and 'data-live="1"' not in text


def test_warnings_and_the_kept_step_are_on_the_time_line(folder):
    page = Page(report(folder))
    marked = [panel["marks"] for panel in page.blocks["training"]["panels"] if panel["x"] == "step"]
    assert all(each == marked[0] for each in marked)
    assert (
        marked[0]
        == marks(read_training(folder))
        == [
            {"x": 9, "text": "words", "kind": "warned"},
            {"x": 14, "text": "the model is of step 14", "kind": "kept"},
        ]
    )
    assert [panel["marks"] for panel in page.blocks["training"]["panels"] if panel["x"] != "step"] == [[]]


def test_samples_are_by_prompt_and_step(folder):
    (first, *_) = samples(read_lines(folder / "samples.jsonl"))
    assert first["prompt"] == [["user", "words"]]
    assert [step["step"] for step in first["steps"]] == list(range(0, STEPS + 1, 2))
    assert first["steps"][1]["scores"] == {"reward": None, "second judge": 0.5} and not first["steps"][-1]["ended"]


def test_of_many_evaluations_the_first_and_the_last_are_among_those_shown():
    entries = [{"step": step, "id": "a", "prompt": [], "response": str(step)} for step in range(1000)]
    (only,) = samples(entries)
    steps = [step["step"] for step in only["steps"]]
    assert len(steps) == 40 and steps[0] == 0 and steps[-1] == 999 and steps == sorted(set(steps))


def test_a_line_that_is_being_written_ends_the_file(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"step": 1}\n[2]\n{"step": 3}\n{"ste')
    assert read_lines(tmp_path / "m.jsonl") == [{"step": 1}, {"step": 3}]
    assert read_lines(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("files", [("run.json",), ("run.json", "metrics.jsonl")])
def test_a_run_that_has_just_begun_has_a_page(folder, files):
    for path in folder.iterdir():
        if path.name not in files:
            path.unlink()
    (folder / "run.json").write_text(json.dumps({"kind": "train", "status": "running"}))
    text = report(folder, live=True)
    assert "The run goes on" in text and ("no figures yet" in text) == (len(files) == 1)
    assert "connect-src &#39;self&#39;" in text or "connect-src 'self'" in text


def test_the_facts_say_what_is_known_and_nothing_else(folder):
    told = dict(facts(read_training(folder)))
    assert told["method"] == "ppo" and told["steps"] == "20" and told["second judge"] == "gold" and told["warnings"] == "1"
    (folder / "run.json").write_text(json.dumps({"kind": "train", "method": "dpo"}))
    (folder / "metrics.jsonl").write_text('{"step": 7, "loss": 0.5}\n')
    told = dict(facts(read_training(folder)))
    assert told["method"] == "dpo" and told["steps"] == "7" and not told.keys() & {"second judge", "warnings", "status"}
