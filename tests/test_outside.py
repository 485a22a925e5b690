"""What comes from outside of the package runs through the command line as ``module:Name``, and the package is not touched."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OUTSIDE = ROOT / "tests" / "outside"
PAIRS = [{"prompt": f"What is {n}?", "chosen": "A number, friend.", "rejected": "Go away.", "p_chosen": 0.9} for n in range(4)]
ONLINE = ["--steps", "2", "--batch-size", "2", "--samples", "3", "--max-tokens", "8", "--eval-prompts", "2"]
REWARD = "tests.outside.reward:brevity"


@pytest.fixture
def prompts(rlaif):
    assert rlaif("lab", "rows", "--out", "prompts.jsonl", "--n", "8", "--prompts-only")[0] == 0
    return "prompts.jsonl"


@pytest.fixture
def online(rlaif, prompts, tmp_path):
    """Run an on-policy method; returns its metrics by step, and ``run.json``."""

    def call(method, *options):
        arguments = ["train", method, prompts, "--model", "lab:policy", "--out", "run", *ONLINE, *options]
        code, _, err = rlaif(*arguments)
        assert code == 0, err
        metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
        return metrics, json.loads((tmp_path / "run" / "run.json").read_text())

    return call


def write_rows(folder, rows):
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_an_engine(rlaif, tmp_path):
    write_rows(tmp_path, [{"prompt": "Hi?", "responses": ["a longer reply", "short"]}])
    (tmp_path / "c.yaml").write_text("name: c\nversion: 1\nprinciples:\n  - {id: a, text: It is good.}\n")
    engine = ["--critic", "any", "--engine", "tests.outside.engine:Longer"]
    code, _, err = rlaif("label", "rows.jsonl", "--constitution", "c.yaml", "--out", "run", *engine)
    assert code == 0, err
    (row,) = map(json.loads, (tmp_path / "run" / "preferences.jsonl").read_text().splitlines())
    assert row["chosen"][0]["content"] == "a longer reply"
    assert row["p_chosen"] == pytest.approx(15 / 21, abs=1e-6) and row["critic"] == "outside.engine:Longer 1"


def test_a_mode(rlaif, tmp_path):
    write_rows(tmp_path, [{"prompt": "How do I boil an egg?", "responses": ["Boil it for ten minutes, friend.", "Go away."]}])
    critic = ["--critic", "lab", "--constitution", str(ROOT / "constitutions" / "lab.yaml")]
    for name, mode in (("own", "score"), ("outside", "tests.outside.mode:HIGHEST")):
        code, _, err = rlaif("label", "rows.jsonl", *critic, "--mode", mode, "--out", name)
        assert code == 0, err
    own, outside = (
        [json.loads(line) for line in (tmp_path / name / "scores.jsonl").read_text().splitlines()]
        for name in ("own", "outside")
    )
    assert len(own) == len(outside) == 2 and own != outside
    assert all(-1 <= row["score"] <= 1 for row in outside)


def test_an_offline_loss(rlaif, tmp_path):
    write_rows(tmp_path, PAIRS)
    method = "tests.outside.loss:Hinge"
    run = ["train", method, "rows.jsonl", "--model", "lab:policy", "--out", "run", "--batch-size", "4", "--max-steps", "2"]
    code, _, err = rlaif(*run, "--delta", "2")
    assert code == 0, err
    first = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["loss"] == pytest.approx(2.0, abs=1e-5)  # the policy is its own reference, so that every margin is 0
    found = json.loads((tmp_path / "run" / "run.json").read_text())
    assert found["method"] == method and found["settings"] == {"beta": 0.1, "delta": 2.0}
    assert "hinge preference optimisation" in (tmp_path / "run" / "model" / "README.md").read_text()
    code, _, err = rlaif(*run, "--delta", "0")
    assert code == 2 and "--delta 0" in err
    again = ["train", method, "--config", "run/config.yaml", "--out", "again"]
    assert rlaif(*again)[0] == 0
    assert json.loads((tmp_path / "again" / "metrics.jsonl").read_text().splitlines()[0])["loss"] == first["loss"]


def test_a_loss_goes_on_in_rounds(rlaif, prompts):
    options = ["--rounds", "1", "--critic", "lab", "--constitution", str(ROOT / "constitutions" / "lab.yaml")]
    options += ["--samples", "2", "--max-tokens", "8", "--limit", "4", "--batch-size", "4"]
    code, _, err = rlaif("train", "tests.outside.loss:Hinge", prompts, "--model", "lab:policy", "--out", "run", *options)
    assert code == 0, err


def test_an_estimator_and_a_reward_source(online):
    metrics, run = online("tests.outside.estimator:Median", "--reward", REWARD, "--scale", "2", "--max-tokens", "32")
    assert run["method"] == "tests.outside.estimator:Median" and run["config"]["scale"] == 2.0
    assert run["reward"] == {"reward": REWARD, "version": 1}
    assert [entry["step"] for entry in metrics] == [0, 1, 2]
    assert 0 < metrics[1]["reward"] <= 1 and metrics[1]["reward/words"] >= 1 and metrics[1]["advantage_std"] > 0


def test_a_sampler(online):
    metrics, run = online("rloo", "--reward", REWARD, "--sampler", "tests.outside.sampler:Generate")
    assert run["config"]["sampler"] == "tests.outside.sampler:Generate"
    assert all(entry["mismatch_max"] < 1e-4 for entry in metrics[1:])  # it draws from the policy, after an update too


def test_a_reward_source_in_a_mix(online, tmp_path):
    mix = f"sources:\n  - {{id: short, kind: '{REWARD}', weight: 2}}\n  - {{id: truth, kind: gold}}\n"
    (tmp_path / "mix.yaml").write_text(mix)
    metrics, run = online("rloo", "--reward", "mix.yaml")
    assert [source["reward"] for source in run["reward"]["sources"]] == [REWARD, "gold"]
    assert metrics[1]["reward/sources/short/words"] >= 1


def test_a_module_of_the_working_folder(rlaif, tmp_path):
    (tmp_path / "my_losses.py").write_text((OUTSIDE / "loss.py").read_text())
    code, out, _ = rlaif("train", "my_losses:Hinge", "--help")
    assert code == 0 and "--delta" in out and "Hinge preference optimisation" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere:Loss"], "No module named 'nowhere'"),
        (["tests.outside.loss:Nothing"], "has no attribute 'Nothing'"),
        (["tests.outside.reward:brevity"], "neither an offline method"),
        (["broken:Loss"], "NameError"),
        (["dpoo"], "Did you mean 'dpo'"),
        (["rloo", "--reward", "nowhere:There"], "--reward nowhere:There: cannot be imported"),
        (["rloo", "--reward", "verifer"], "did you mean verifier?"),
        (["rloo", "--reward", "gold", "--sampler", "vlm"], "did you mean vllm?"),
    ],
)
def test_what_is_not_there_is_one_message(rlaif, prompts, tmp_path, arguments, said):
    (tmp_path / "broken.py").write_text("class Loss(Nobody): ...\n")
    method, *options = arguments
    options += ONLINE if method == "rloo" else []
    code, out, err = rlaif("train", method, prompts, "--model", "lab:policy", "--out", "run", *options)
    assert code == 2 and said in err and "Traceback" not in out + err


def test_the_docs_show_these_files():
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    shown = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    files = {path.name: path.read_text(encoding="utf-8") for path in OUTSIDE.glob("*.py") if path.name != "__init__.py"}
    assert sorted(shown) == sorted(files.values())
    assert all(len(text.splitlines()) <= 40 for text in shown)
