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
    """Stopped as the last method's training begins; the earlier ones' model and all labels stay as they are. A tiny model's
    noise is all alike to gold, so that there are no known labels, and one method of the three cannot be finished."""
    config, out = lab(methods=("dpo", "rlaif", "rlhf-noisy")), tmp_path / "out"
    failed = r"1 of 4 could not be finished: rlhf-noisy with seed 0: known-noisy: .* no pair has a known label"
    with pytest.raises(KeyboardInterrupt):
        run_compare(config, watched("reference")[1])
    model = out / "seed-0" / "rlaif" / "model" / "model.safetensors"
    made, shown = model.stat().st_mtime_ns, []
    stages, progress = watched()
    with pytest.raises(RunFailed, match=failed):
        run_compare(config, progress, lambda results: shown.append(len(results.found)))
    assert shown == [1, 2, 3, 4] and model.stat().st_mtime_ns == made
    assert stages and not [name for name in stages if name.endswith(("label", "reward", "ppo"))]
    assert not list(out.glob("seed-0/*/checkpoints"))
    written = (out / "results.jsonl").read_text()
    base, noisy, rlaif, dpo = map(json.loads, written.splitlines())
    assert [each["method"] for each in (base, noisy, rlaif, dpo)] == ["base", "rlhf-noisy", "rlaif", "dpo"]
    assert "no pair has a known label" in noisy["error"] and not noisy["figures"]
    assert base["figures"]["wins"]["mean"] == 0.5 and dpo["figures"]["kl"]["mean"] != 0
    assert dpo["took"]["calls"] == rlaif["took"]["calls"] == 8 * 2
    assert "| dpo |" in (out / "README.md").read_text() and "| rlhf-noisy |" not in (out / "README.md").read_text()
    run = json.loads((out / "run.json").read_text())
    assert (run["status"], run["kind"]) == ("failed", "compare") and "no pair has a known label" in run["error"]
    stages, progress = watched()
    with pytest.raises(RunFailed, match=failed):
        run_compare(config, progress)
    assert not stages and (out / "results.jsonl").read_text() == written
    with pytest.raises(UsageError, match="holds a run with budget 8, not 16"):
        run_compare(lab(methods=("dpo",), budget=16))


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
