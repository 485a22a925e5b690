import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlaif.errors import RunFailed, UsageError
from rlaif.rl.prompts import queries_of
from rlaif.rl.rewards.config import RewardConfig
from rlaif.settings import configure
from tests.reference.report_page import Page


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_run_leaves_a_model_and_says_what_it_did(learn, tmp_path):
    run = learn("rloo", steps=3, second="gold", eval_every=2)
    folder = tmp_path / "run"
    model = AutoModelForCausalLM.from_pretrained(folder / "model")
    assert AutoTokenizer.from_pretrained(folder / "model").chat_template and model.num_parameters() > 1e5
    assert (run["status"], run["steps"], run["stopped"], run["model_of_step"]) == ("finished", 3, None, 3)
    assert run["reward"] == {"reward": "gold"} and run["config"]["reward"] == "gold"
    assert run["data"]["used"] == 24 and run["data"]["held_out"] == 4
    metrics = lines(folder / "metrics.jsonl")
    assert [entry["step"] for entry in metrics] == [0, 1, 2, 3]
    wanted = (
        "reward",
        "kl",
        "length",
        "entropy",
        "mismatch",
        "waiting",
        "seconds_sampling",
        "gradient_norm",
        "reward/principles/polite",
    )
    assert all(name in entry for name in wanted for entry in metrics[1:])
    samples = lines(folder / "samples.jsonl")
    assert [entry["step"] for entry in samples] == [0] * 4 + [2] * 4 + [3] * 4
    assert {entry["id"] for entry in samples[:4]} == {entry["id"] for entry in samples[4:8]}
    assert {"principles/polite", "principles/helpful"} <= samples[0]["rewards"].keys() and samples[0]["second"][
        "reward"
    ] == samples[0]["reward"]
    card = (folder / "model" / "README.md").read_text(encoding="utf-8")
    assert "REINFORCE leave-one-out" in card and "3 steps on 20 prompts" in card
    page = Page((folder / "report.html").read_text(encoding="utf-8")).blocks["training"]
    assert len(page["samples"]) == 4 and page["panels"][0]["series"][0]["y"] == pytest.approx(
        [entry["reward"] for entry in metrics[1:]], rel=1e-4
    )


@pytest.mark.parametrize("method", ["ppo", "reinforce", "rloo", "grpo"])
def test_each_method_learns_what_is_rewarded(learn, tmp_path, method):
    """A short reply is easy to learn: ten steps suffice."""
    verifier = tmp_path / "short.py"
    verifier.write_text("def short(row, response):\n    return -len(response.split()) / 10\n", encoding="utf-8")
    rewards = configure(RewardConfig, reward="verifier", verifier=f"{verifier}:short")
    extra = {"ppo": {"value_warmup": 1, "epochs": 2, "learning_rate": 1e-3}, "reinforce": {"value_warmup": 1}}.get(method, {})
    more = {"batch_size": 6, "samples": 4, "steps": 10, "learning_rate": 2e-3, "max_tokens": 40, "beta": 0.0, **extra}
    learn(method, rewards=rewards, schedule="constant", **more)
    rewarded = [entry["reward"] for entry in lines(tmp_path / "run" / "metrics.jsonl") if "reward" in entry]
    assert sum(rewarded[-3:]) / 3 > sum(rewarded[:3]) / 3 + 0.25


def test_a_stop_of_the_monitor_puts_the_best_policy_back(learn, tmp_path, monkeypatch):
    from rlaif.rl.monitor.monitor import Monitor, Report

    monkeypatch.setattr(Monitor, "heldout", lambda self, step, *given: Report({}, best=0, keep=frozenset({0, step})))
    monkeypatch.setattr(Monitor, "iteration", lambda self, step, *given: Report({}, stop="too far" if step == 3 else None))
    run = learn("rloo", steps=6, eval_every=2)
    assert (run["steps"], run["stopped"], run["model_of_step"]) == (3, "too far", 0)
    from rlaif.engines.open import lab_model

    base = AutoModelForCausalLM.from_pretrained(lab_model("lab:policy")).state_dict()
    kept = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model").state_dict()
    assert all((base[name] == kept[name]).all() for name in base)
    assert {path.name for path in (tmp_path / "run" / "checkpoints").glob("policy-*")} == {"policy-0.pt", "policy-2.pt"}


def test_what_cannot_be_used_is_said_before_anything_is_sampled(learn, tmp_path):
    for message, options in (
        ("--max-tokens 5000", {"max_tokens": 5000}),
        ("--truncate-at", {"truncate_at": "one two three"}),
        ("--eval-prompts 24", {"eval_prompts": 24}),
        ("--sampler other", {"sampler": "other"}),
        ("none.yaml", {"monitor": tmp_path / "none.yaml"}),
        ("no such file", {"source": str(tmp_path / "none.jsonl")}),
    ):
        with pytest.raises(UsageError, match=message):
            learn("rloo", "refused", overwrite=True, **options)


def test_a_run_that_fails_says_so_in_its_folder(learn, tmp_path):
    verifier = tmp_path / "none.py"
    verifier.write_text("def none(row, response):\n    return None\n", encoding="utf-8")
    with pytest.raises(RunFailed, match="--max-failure-rate"):
        learn("rloo", rewards=configure(RewardConfig, reward="verifier", verifier=f"{verifier}:none"))
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["status"] == "failed" and "--max-failure-rate" in run["error"]


def test_a_reward_that_says_nothing_of_progress_is_warned_of(learn, tmp_path):
    mix = tmp_path / "mix.yaml"
    mix.write_text("normalise: group\nsources: [{id: a, kind: gold}]", encoding="utf-8")
    for out, options, warns in (("alone", {}, True), ("watched", {"second": "gold"}, False)):
        learn("rloo", out, steps=1, rewards=configure(RewardConfig, reward=str(mix)), **options)
        assert ("give --second" in (tmp_path / out / "warnings.jsonl").read_text()) == warns


@pytest.mark.parametrize("where", ["build", "open_sampler"])
def test_memory_that_runs_out_anywhere_is_said_with_what_to_lower(learn, tmp_path, monkeypatch, where):
    def full(*given):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(f"rlaif.rl.run.{where}", full)
    with pytest.raises(RunFailed, match=r"out of memory; lower --micro-tokens"):
        learn("rloo", "full")
    assert json.loads((tmp_path / "full" / "run.json").read_text())["status"] == "failed"


def test_supervised_rows_are_read_as_sft_reads_them(learn, tmp_path):
    rows = [{"prompt": "How do I brew tea?", "completion": "First warm the pot."}, {"prompt": "x"}]
    (tmp_path / "sft.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    learn("rloo", steps=1, ptx=str(tmp_path / "sft.jsonl"))
    assert lines(tmp_path / "run" / "metrics.jsonl")[-1]["ptx_loss"] > 0
    (tmp_path / "sft.jsonl").write_text(json.dumps(rows[1]) + "\n")
    with pytest.raises(UsageError, match="--ptx"):
        learn("rloo", "other", steps=1, ptx=str(tmp_path / "sft.jsonl"))


def test_the_sampler_has_room_for_the_longest_prompt_and_its_response_and_no_more(learn, monkeypatch, tmp_path):
    """The lab's policy has 512 positions, and a real one may have 131072: an engine would set a cache apart for all of them."""
    from rlaif.rl import run as module

    rooms, longest, opened = [], [], module.open_sampler

    def watched(config, base, policy):
        rooms.append(base.context)
        return opened(config, base, policy)

    def read(*given):
        queries, failures = queries_of(*given)
        longest.append(max(len(query.ids) for query in queries))
        return queries, failures

    monkeypatch.setattr(module, "open_sampler", watched)
    monkeypatch.setattr(module, "queries_of", read)
    rows = [{"prompt": "How do I brew tea? " * times} for times in range(1, 13)]
    source = tmp_path / "long.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    verifier = tmp_path / "short.py"
    verifier.write_text("def short(row, response):\n    return -len(response)\n")
    given = {
        "source": str(source),
        "rewards": configure(RewardConfig, reward="verifier", verifier=f"{verifier}:short"),
        "steps": 1,
    }
    learn("rloo", **given)
    assert 48 < longest[0] < 200 and rooms == [longest[0] + 12]
    learn("rloo", out="narrow", **given, context=longest[0])
    assert longest[1] <= longest[0] - 12 and rooms[1] <= longest[0]  # the longest is cut in its middle
    with pytest.raises(UsageError, match="--max-tokens 16: --context has room for 16"):
        learn("rloo", out="none", **given, context=16, max_tokens=16)


def test_a_policy_comes_closer_to_its_teacher(learn, tiny, tmp_path):
    from rlaif.engines.open import lab_model

    folder = lab_model("lab:policy")
    student = AutoModelForCausalLM.from_pretrained(folder)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in student.parameters():
            value.add_(0.4 * value.std() * torch.randn(value.shape, generator=generator))
    student.save_pretrained(tmp_path / "student")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "student")
    given = {"model": str(tmp_path / "student"), "teacher": "lab:policy", "rewards": configure(RewardConfig, reward="none")}
    learn("distill", steps=10, batch_size=12, schedule="constant", **given)
    kl = [entry["kl"] for entry in lines(tmp_path / "run" / "metrics.jsonl") if "kl" in entry]
    assert sum(kl[-3:]) < 0.7 * sum(kl[:3]) and kl[0] > 1, kl
    with pytest.raises(UsageError, match=r"--teacher .*: its tokenizer is not"):
        learn("distill", "other", **{**given, "teacher": str(tiny)})
