"""The judge's questions as training sees them, and a temperature that every engine reads."""

from __future__ import annotations

import asyncio
import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM

from rlaif.constitution.load import load_constitution
from rlaif.critic.config import CriticConfig
from rlaif.critic.judge import Judge
from rlaif.critic.templates import load_template
from rlaif.engines import EngineConfig
from rlaif.engines.base import Failure
from rlaif.errors import UsageError
from rlaif.models.load import find_base
from rlaif.settings import configure
from rlaif.train.batches import collate
from rlaif.train.config import configuration
from rlaif.train.data import read_data
from rlaif.train.judging import Questions, label_logprobs, set_temperature, temper_labels, tempered
from tests.tiny import save_model

ONE = "name: one\nversion: 1\nprinciples:\n  - id: kind\n    text: The response is kind.\n"
TWO = ONE + "  - id: short\n    text: The response is short.\n    when: {tags: [chat]}\n"


@pytest.fixture
def model(tmp_path):
    return save_model(tmp_path / "critic", max_position_embeddings=2048)


def questions(model, tmp_path, text=ONE, mode="compare"):
    path = tmp_path / "constitution.yaml"
    path.write_text(text, encoding="utf-8")
    base = find_base(str(model), "causal", None, "float32", False)
    return Questions(load_constitution(path), load_template(mode), base), base, path


def config(model, path, source, **options):
    given = {"source": source, "model": str(model), "out": path.parent / "run", "constitution": str(path), **options}
    return configure(configuration("critic"), **given)


ROW = {"prompt": "How are you?", "chosen": "Fine, thank you!", "rejected": "Go <|im_end|> away."}


@pytest.mark.parametrize("mode", ["compare", "score"])
def test_it_learns_the_very_numbers_that_the_engine_reads(model, tmp_path, write, mode):
    """The probability of each label after each prompt is the engine's own, asked by the judge."""
    _, base, path = questions(model, tmp_path, mode=mode)
    (item,) = read_data(config(model, path, write([ROW]), mode=mode), base).items
    loaded = AutoModelForCausalLM.from_pretrained(model).eval()
    learnt = label_logprobs(loaded, collate([item], base.pad))
    engine = EngineConfig(model=str(model)).open()
    constitution, template = CriticConfig(models=(str(model),), constitution=path, mode=mode).inputs()
    judge = Judge(constitution, template, engine.identity)
    user = ({"role": "user", "content": ROW["prompt"]},)
    both = [({"role": "assistant", "content": ROW[name]},) for name in ("chosen", "rejected")]
    shown = [both, both[::-1]] if mode == "compare" else [both[:1], both[1:]]
    wording = template.wording(constitution.principles[0].text, None)
    asked = asyncio.run(engine.choose([template.render(wording, user, texts) for texts in shown], judge.template.choices))
    asyncio.run(engine.close())
    assert torch.allclose(learnt, torch.tensor([choice.logprobs for choice in asked]), atol=1e-4)


def test_each_verdict_of_a_label_run_teaches_its_own_principle(model, tmp_path, write):
    _, base, path = questions(model, tmp_path, TWO)
    verdicts = [{"id": "kind", "p": 0.8}, {"id": "short", "p": 0.3}, {"id": "other", "p": 0.1}]
    row = {**ROW, "p_chosen": 0.6, "principles": verdicts}
    read = read_data(config(model, path, write([{**row, "tags": ["chat"]}, row])), base)
    assert [item.p for item in read.items] == [0.8, 0.3, 0.8]
    assert not read.failures
    hard = read_data(config(model, path, write([{**row, "tags": ["chat"]}], "hard.jsonl"), labels="hard"), base)
    assert [item.p for item in hard.items] == [1.0, 0.0]


def test_a_verdict_that_failed_teaches_nothing(model, tmp_path, write):
    _, base, path = questions(model, tmp_path, TWO)
    row = {**ROW, "tags": ["chat"], "principles": [{"id": "kind", "p": None, "failure": "too_long"}, {"id": "short", "p": 0.3}]}
    assert [item.p for item in read_data(config(model, path, write([row])), base).items] == [0.3]


def test_an_overall_label_teaches_one_principle_and_not_several(model, tmp_path, write):
    _, base, path = questions(model, tmp_path, TWO)
    read = read_data(config(model, path, write([ROW, {**ROW, "tags": ["chat"]}])), base)
    assert [item.p for item in read.items] == [1.0]
    assert "2 principles of --constitution apply" in read.failures[0].detail


def test_what_does_not_fit_is_cut_as_an_engine_cuts(model, tmp_path):
    asking, base, _ = questions(model, tmp_path)
    from rlaif.train.rows import Example

    long = Example(1, "1", ({"role": "user", "content": "hello " * 900},), ("world " * 900, "no"))
    (item,) = asking.items(long)
    assert max(len(tokens.ids) for tokens in item.sequences) <= base.context - 1
    tight = Questions(load_constitution(tmp_path / "constitution.yaml"), load_template("compare"), base._replace(context=64))
    assert isinstance(tight.items(long), Failure)


def test_the_temperature_undoes_what_made_the_critic_too_sure(model, tmp_path, write):
    """Labels are drawn from the model's own probabilities; made 2.5 times as sure of itself, it is to find that factor."""
    _, base, path = questions(model, tmp_path)
    rows = [{**ROW, "prompt": f"hello {number}", "chosen": "world " * (number % 7 + 1)} for number in range(60)]
    items = read_data(config(model, path, write(rows)), base).items
    batch = collate(items, base.pad)
    loaded = AutoModelForCausalLM.from_pretrained(model).eval()
    temper_labels(loaded, batch.labels, 0.1)  # a random model knows nothing: give it opinions
    one, other = (part.softmax(-1) for part in label_logprobs(loaded, batch).detach().chunk(2))
    truth = (one[:, 0] + other[:, 1]) / 2
    soft = [item.__class__(item.sequences, float(p), labels=item.labels) for item, p in zip(items, truth, strict=True)]
    temper_labels(loaded, batch.labels, 1 / 2.5)
    found = set_temperature(loaded, soft, base.pad, "compare")
    assert found["temperature"] == pytest.approx(2.5, rel=0.05)
    again = label_logprobs(loaded, batch).detach().chunk(2)
    assert torch.allclose(again[0].softmax(-1), one, atol=0.02)


@pytest.mark.parametrize("tied", [True, False])
def test_only_the_labels_logits_move_and_the_embeddings_stay(tmp_path, tied):
    folder = save_model(tmp_path / "m", tie_word_embeddings=tied)
    ids = torch.arange(8)[None]
    labels = torch.tensor([[5, 9], [6, 10], [7, -1]])
    loaded = AutoModelForCausalLM.from_pretrained(folder).eval()
    before = loaded(ids).logits.detach()
    embeddings = loaded.get_input_embeddings().weight.detach().clone()
    temper_labels(loaded, labels, 4.0)
    loaded.save_pretrained(tmp_path / "tempered")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "tempered").eval()
    after = again(ids).logits.detach()
    others = [token for token in range(before.shape[-1]) if token not in labels]
    assert torch.allclose(after[..., others], before[..., others], atol=1e-5)
    spelled = before[..., labels.clamp(min=0)].masked_fill(labels < 0, -torch.inf)
    found = after[..., labels.clamp(min=0)].masked_fill(labels < 0, -torch.inf)
    assert torch.allclose(found, tempered(spelled, 4.0), atol=1e-5)
    assert torch.allclose((found[..., 0, 0] - found[..., 2, 0]) * 4, spelled[..., 0, 0] - spelled[..., 2, 0], atol=1e-4)
    assert torch.equal(again.get_input_embeddings().weight, embeddings)


def test_no_temperature_takes_the_probability_off_the_labels():
    """A vocabulary of others that are unlikely one by one must stay so."""
    sure = torch.tensor([[3.0], [-3.0]])
    others = torch.full((50_000,), -16.0)
    mass = tempered(sure, 4.0).exp().sum() / (tempered(sure, 4.0).exp().sum() + others.exp().sum())
    assert mass > 0.99


def test_a_critic_learns_to_see_and_forgets_its_position(tmp_path, write):
    """The lab's fallible critic, which follows position, on pairs that a word decides."""
    from rlaif.train.run import run_train

    path = tmp_path / "one.yaml"
    path.write_text(ONE, encoding="utf-8")
    prompts = [f"How do I {task}?" for task in ("boil rice", "brew tea", "cook rice", "paint a wall", "boil an egg")]
    rows = [
        {"prompt": prompt, "chosen": "Happy to help! First warm the pot.", "rejected": "Are you stupid?"} for prompt in prompts
    ]
    options = {"batch_size": 4, "micro_batch": 4, "max_steps": 30, "learning_rate": 2e-3, "eval_fraction": 0.2, "lora": 8}
    run = run_train(config("lab:fallible", path, write(rows), consistency=0.5, save_every=30, **options))
    metrics = run["metrics"]
    assert metrics["eval_accuracy"] == 1
    assert metrics["eval_flips"] == 0
    assert math.isfinite(metrics["temperature"])
    from rlaif import Critic

    with Critic(path, str(tmp_path / "run")) as critic:
        verdict = critic.compare(prompts[0], rows[0]["chosen"], rows[0]["rejected"])
    assert verdict.p > 0.6
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["consistency"] == 0.5


def test_what_cannot_be_trained_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--constitution is missing"):
        configure(configuration("critic"), source="x", model="y", out=tmp_path)
    with pytest.raises(UsageError, match="--consistency needs"):
        config("y", tmp_path / "c.yaml", "x", mode="score", consistency=1.0)
