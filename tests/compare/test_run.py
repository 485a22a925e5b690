"""A whole comparison on a tiny model: stopped, continued, and added to."""

from __future__ import annotations

import json

import pytest

from rlaif.compare.run import comparison_cost, open_comparison, run_compare
from rlaif.errors import RunFailed, UsageError
from rlaif.progress import Progress


def watched(stop=""):
    """A progress that notes the stages, and stops where one ends in ``stop``."""
    stages = []

    def stage(name, total, done):
        stages.append(name)
        if stop and name.endswith(stop):
            raise KeyboardInterrupt

    return stages, Progress(stage)


def test_a_comparison_goes_on_where_it_was_stopped(lab, tmp_path):
    """Stopped as the second method's training begins; the first one's model and all labels stay as they are."""
    config = lab(methods=("dpo", "rlaif"))
    with pytest.raises(KeyboardInterrupt):
        run_compare(config, watched("reference")[1])
    model = tmp_path / "out" / "seed-0" / "rlaif" / "model" / "model.safetensors"
    made = model.stat().st_mtime_ns
    stages, progress = watched()
    shown = []
    results = run_compare(config, progress, lambda results: shown.append(len(results.found)))
    assert shown == [1, 2, 3] and results.methods == ["base", "rlaif", "dpo"]
    assert model.stat().st_mtime_ns == made
    assert not [name for name in stages if name.endswith(("label", "reward", "ppo"))]
    assert not list((tmp_path / "out").glob("seed-0/*/checkpoints"))
    stages, progress = watched()
    again = run_compare(config, progress)
    assert not stages and [each.as_json() for each in again.found] == [each.as_json() for each in results.found]
    written = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert written == [each.as_json() for each in results.found]
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["status"] == "finished" and run["kind"] == "compare"
    assert "| dpo |" in (tmp_path / "out" / "README.md").read_text()
    by_name = {each.method: each for each in results.found}
    assert by_name["base"].figures["wins"].mean == 0.5 and by_name["dpo"].figures["kl"].mean != 0
    assert by_name["dpo"].took["calls"] == by_name["rlaif"].took["calls"] == 8 * 2
    with pytest.raises(UsageError, match="holds a run with budget 8, not 16"):
        run_compare(lab(methods=("dpo",), budget=16))


def test_what_cannot_be_finished_does_not_stop_the_others(lab, tmp_path):
    """A tiny model's noise is all alike to gold, so that there are no known labels to learn from."""
    with pytest.raises(RunFailed, match=r"2 of 4 could not be finished: rlhf with seed 0: known: .* no pair has a known label"):
        run_compare(lab(methods=("rlhf", "rlhf-noisy", "dpo")))
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["status"] == "failed" and "no pair has a known label" in run["error"]
    assert (tmp_path / "out" / "seed-0" / "dpo.result.json").is_file()


def test_a_critic_that_is_not_there_is_found_before_anything_is_run(lab, tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.yaml"):
        run_compare(lab(critic=f"script:{tmp_path / 'nowhere.yaml'}"))
    with pytest.raises(UsageError, match="nosuch"):
        run_compare(lab(judge=str(tmp_path / "nosuch")))
    assert not (tmp_path / "out").exists()


def test_settings_that_do_not_go_together_are_found_before_anything_is_run(lab, tmp_path):
    (tmp_path / "given.yaml").write_text("dpo: {batch_size: 3, micro_batch: 2}")
    with pytest.raises(UsageError, match="--batch-size 3"):
        run_compare(lab())
    assert not (tmp_path / "out").exists()


def test_all_methods_by_default_and_those_only_that_can_be_run(lab):
    assert open_comparison(lab()).methods[0] == "base"
    assert {"reft", "rlhf-noisy", "two-model"} <= set(open_comparison(lab()).methods)
    assert "reft" not in open_comparison(lab(verifier=None)).methods
    alone = lab(safety=("polite", "harmless"))
    assert "two-model" not in open_comparison(alone).methods
    with pytest.raises(UsageError, match="--methods two-model: --safety must name some"):
        open_comparison(lab(safety=("polite", "harmless"), methods=("two-model",)))


def test_a_dry_run_counts_and_writes_nothing(lab, tmp_path):
    costs = comparison_cost(lab(methods=("dpo", "direct")))
    assert set(costs) == {"samples", "labels", "dpo", "direct", "evaluation"}
    assert costs["labels"].calls == costs["direct"].calls == 8 * 2
    assert not (tmp_path / "out").exists()
