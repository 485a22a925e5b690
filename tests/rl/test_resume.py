"""A run that was stopped and one that was not end in the same weights."""

import json
import shutil

import pytest
from safetensors.torch import load_file

from rlaif.errors import UsageError
from rlaif.progress import Progress
from rlaif.rl import state as checkpoints
from rlaif.rl.rewards.config import RewardConfig
from rlaif.settings import configure
from tests.train.test_resume import Killed

STEPS, SAVED = 6, 3


def killed_after(step):
    def update(done, figures):
        if done == step and "reward" in figures:
            raise Killed

    return Progress(update=update)


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


def log(folder, name="metrics"):
    """The lines, but for what a clock says."""
    entries = map(json.loads, (folder / f"{name}.jsonl").read_text().splitlines())
    return [{key: value for key, value in entry.items() if "seconds" not in key and "waiting" not in key} for entry in entries]


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("ppo", {"samples": 1, "epochs": 2, "minibatches": 2, "value_warmup": 1, "normalise_rewards": True, "kl_target": 0.1}),
        ("reinforce", {"samples": 2, "lora": 4, "schedule": "cosine", "warmup": 0.3, "skip_alike": True}),
        ("rloo", {"async": 1, "temperature_end": 0.7, "save_every": 3}),
        ("rloo", {"async": 2, "samples": 2, "skip_alike": True}),
        ("grpo", {"dynamic_kl": True, "second": "gold", "entropy": 0.01, "entropy_end": 0.0}),
    ],
)
def test_half_and_half_is_the_whole(learn, tmp_path, prompts, method, options):
    options = {"steps": STEPS, "save_every": SAVED, "eval_every": 2, "ptx": None, **options}
    learn(method, "straight", **options)
    with pytest.raises(Killed):
        learn(method, "resumed", killed_after(5), **options)
    assert (tmp_path / "resumed" / "checkpoints" / f"step-{SAVED}.pt").is_file()
    assert not (tmp_path / "resumed" / "checkpoints" / "step-6.pt").is_file()
    learn(method, "resumed", **options)
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    assert same(weights(straight), weights(resumed))
    assert log(straight) == log(resumed)
    assert log(straight, "samples") == log(resumed, "samples")


def test_a_checkpoint_under_lora_holds_adapters_alone_and_the_optimiser_only_where_wanted(learn, tmp_path):
    """A checkpoint without the optimiser goes on, from fresh moments: in other weights than with it."""
    options = {"steps": 3, "save_every": 2, "lora": 4, "samples": 1, "value_warmup": 0}
    sizes = {}
    for keep in (True, False):
        with pytest.raises(Killed):
            learn("ppo", f"{keep}", killed_after(3), keep_optimiser=keep, **options)
        state = checkpoints.load_newest(tmp_path / f"{keep}" / "checkpoints")
        assert all("lora_" in name or name.startswith("head.") for part in ("policy", "value") for name in state[part])
        assert bool(state["learner"]) is keep
        (path,) = (tmp_path / f"{keep}" / "checkpoints").glob("step-*.pt")
        sizes[keep] = path.stat().st_size
        learn("ppo", f"{keep}", keep_optimiser=keep, **options)
        assert not list((tmp_path / f"{keep}" / "checkpoints").glob("step-*.pt"))  # finished
    assert sizes[False] < 0.5 * sizes[True]
    assert not same(weights(tmp_path / "True"), weights(tmp_path / "False"))


REASONS = """
rules:
  - {when: "Say in a few sentences", fail: truncated, rate: 0.3}
  - {when: "Which response is better", choose: {A: 0.6, B: 0.3}}
  - {generate: It is politer.}
"""
"""Of its rationales 30% fail. Those of the lab's critic, which has learnt none, are all cut at their limit."""


@pytest.mark.parametrize(
    ("critics", "asked"),
    [
        (("lab", "lab:fallible"), {"feedback": "score"}),
        (("lab", "script:reasons.yaml"), {"feedback": "group", "reasons": True, "reasons_tokens": 2, "votes": 2}),
    ],
)
def test_a_jury_and_reasons_in_a_reward_resume_too(learn, tmp_path, monkeypatch, critics, asked):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reasons.yaml").write_text(REASONS)
    (tmp_path / "c.yaml").write_text("{name: c, version: 1, principles: [{id: polite, text: The response is polite.}]}")

    def train(out, progress=None):
        given = {"critic": critics, "constitution": tmp_path / "c.yaml", "store": tmp_path / f"{out}.sqlite", **asked}
        options = {"steps": 4, "save_every": 2, "samples": 3, "batch_size": 2, "eval_prompts": 0, "max_failure_rate": 1.0}
        return learn("ppo", out, progress, **options, rewards=configure(RewardConfig, **given))

    train("straight")
    with pytest.raises(Killed):
        train("resumed", killed_after(3))
    run = train("resumed")
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    assert same(weights(straight), weights(resumed))
    assert log(straight) == log(resumed)
    assert run["reward"]["critic"].count(" + ") == 1
    rates = [line["failure_rate"] for line in log(straight) if "failure_rate" in line]
    assert all(rate > 0 for rate in rates) if "reasons" in asked else not any(rates)


def test_something_was_learnt_in_each_half(learn, tmp_path):
    """The test above would pass for runs that change nothing."""
    for steps in (SAVED, STEPS):
        learn("rloo", f"{steps}", steps=steps, schedule="constant")
    assert not same(weights(tmp_path / str(SAVED)), weights(tmp_path / str(STEPS)))


def test_every_part_of_the_state_matters(learn, tmp_path, monkeypatch):
    """With any part of the checkpoint as it was two steps earlier, the run goes on differently."""
    options = {"steps": STEPS - 1, "samples": 2, "value_warmup": 0, "kl_target": 0.1, "skip_alike": True, "batch_size": 2}
    options |= {"normalise_rewards": True}
    learn("ppo", "straight", **options, save_every=SAVED)
    for folder, every, step in (("early", 1, 2), ("late", SAVED, 4)):
        with pytest.raises(Killed):
            learn("ppo", folder, killed_after(step), **options, save_every=every)
    load = checkpoints.load_newest
    early, late = (load(tmp_path / folder / "checkpoints") for folder in ("early", "late"))
    assert (early["step"], late["step"]) == (1, SAVED)
    for part in ("policy", "value", "learner", "prompts", "coefficient", "moments"):
        shutil.copytree(tmp_path / "late", tmp_path / part)
        monkeypatch.setattr(checkpoints, "load_newest", lambda folder, part=part: {**late, part: early[part]})
        learn("ppo", part, **options, save_every=SAVED)
        assert not same(weights(tmp_path / "straight"), weights(tmp_path / part)), part


def test_a_finished_run_is_left_as_it_is_and_another_is_not_continued(learn, tmp_path):
    first = learn("rloo", steps=1)
    before = (tmp_path / "run" / "model" / "model.safetensors").stat().st_mtime_ns
    assert learn("rloo", steps=1) == first
    assert (tmp_path / "run" / "model" / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(UsageError, match=r"beta 0\.03, not 0\.5"):
        learn("rloo", steps=1, beta=0.5)
    with pytest.raises(UsageError, match="method"):
        learn("grpo", steps=1)
    with pytest.raises(UsageError, match="another reward"):
        learn("rloo", steps=1, rewards=configure(RewardConfig, reward="verifier", verifier="rlaif.rl.rewards.checks:exact"))
    assert learn("rloo", steps=1, micro_tokens=64) == first  # only a machine needs that
    assert learn("rloo", steps=1, beta=0.5, overwrite=True)["config"]["beta"] == 0.5


@pytest.mark.parametrize(
    ("name", "text", "edited", "said"),
    [
        ("second", "sources: [{id: a, kind: gold}]", "sources: [{id: a, kind: gold, weight: 2}]", "another second"),
        ("monitor", "patience: 3", "patience: 4", "another monitor"),
    ],
)
def test_a_file_that_was_edited_is_not_continued_with(learn, tmp_path, name, text, edited, said):
    file = tmp_path / f"{name}.yaml"
    file.write_text(text)
    given = {name: file if name == "monitor" else str(file), "steps": 1}
    first = learn("rloo", **given)
    file.write_text(f"# the same\n{text}")
    assert learn("rloo", **given) == first
    file.write_text(edited)
    with pytest.raises(UsageError, match=said):
        learn("rloo", **given)
