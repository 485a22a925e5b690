"""Whole runs with the lab's policy: every method learns, soft labels matter, and what comes out can be loaded."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertModel

from rlaif.engines import open_engine
from rlaif.engines.open import lab_model
from rlaif.errors import RunFailed, UsageError
from rlaif.train.batches import collate
from rlaif.train.items import Item, Tokens
from rlaif.train.loop import FeedbackTrainer
from rlaif.train.objectives import logprobs
from tests.tiny import byte_tokenizer

PAIRED = ["dpo", "ipo", "orpo", "cpo", "simpo", "reward"]


@pytest.mark.parametrize("method", [*PAIRED, "kto", "sft"])
def test_a_method_lowers_its_loss_and_parts_the_responses(train, log, pairs, write, method):
    train(method, write(pairs), eval_fraction=0)
    steps = log()
    assert len(steps) == 6
    first, last = steps[0], steps[-1]
    assert last["loss"] < first["loss"]
    if method != "sft":
        assert last["margin"] > first["margin"]
        assert last["accuracy"] >= first["accuracy"]


@pytest.mark.parametrize("form", ["soft", "geometric", "robust"])
def test_dpo_begins_where_the_policy_is_its_own_reference(train, log, pairs, write, form):
    """All forms have the gradient of the label at h = 0, and h is zero there."""
    train("dpo", write(pairs), settings={"form": form}, max_steps=3)
    steps = log()
    assert steps[0]["margin"] == pytest.approx(0, abs=1e-4)
    assert steps[-1]["margin"] > 0.1


@pytest.mark.parametrize("form", ["soft", "geometric"])
def test_rows_that_say_nothing_move_nothing(train, log, pairs, write, form):
    """One row has a label, so that there is something to learn; the rest hold the policy, or let go of it."""
    even = [{**pair, "p_chosen": 0.5} for pair in pairs]
    settings = {"form": form}
    train("dpo", write([*even[:-1], {**pairs[-1], "p_chosen": 0.5 + 1e-7}]), "even", settings=settings, max_steps=3)
    train("dpo", write(pairs), "sure", settings=settings, max_steps=3)
    assert abs(log("even")[-1]["margin"]) < 0.05 * log("sure")[-1]["margin"]


def test_a_label_below_a_half_turns_the_pair_around(train, log, pairs, write):
    train("dpo", write([{**pair, "p_chosen": 0.1} for pair in pairs]))
    last = log()[-1]
    assert last["margin"] < 0
    assert last["accuracy"] == 1


@pytest.mark.parametrize("method", ["dpo", "sft"])
def test_how_a_batch_is_cut_does_not_change_the_step(train, log, pairs, write, method):
    """Loss and gradient, not weights: Adam turns a rounding error of a gradient near zero into a whole step."""
    source = write(pairs)
    for micro in (2, 8):
        train(method, source, f"by-{micro}", micro_batch=micro, max_steps=1)
    (one,), (other,) = log("by-2"), log("by-8")
    for name in ("loss", "grad_norm"):
        assert one[name] == pytest.approx(other[name], rel=1e-4)


def test_the_model_is_a_normal_folder_and_its_card_says_how_it_came(train, pairs, write, tmp_path):
    run = train("dpo", write([*pairs, {**pairs[0], "p_chosen": 7}, {"prompt": "hi"}]), max_steps=2, learning_rate=1e-4)
    model = tmp_path / "run" / "model"
    assert AutoModelForCausalLM.from_pretrained(model).config.model_type == "qwen3"
    assert AutoTokenizer.from_pretrained(model).chat_template
    assert open_engine(str(model), backend="transformers").identity.startswith("model@")
    assert run["status"] == "finished"
    assert run["data"]["failed"] == 2
    card = (model / "README.md").read_text()
    for part in (run["data"]["digest"], run["base"], "rlaif", "| loss |", "| beta | 0.1 |"):
        assert part in card
    failures = [json.loads(line) for line in (tmp_path / "run" / "failures.jsonl").read_text().splitlines()]
    assert [(entry["row"], entry["reason"]) for entry in failures] == [(9, "bad_row"), (10, "bad_row")]


@pytest.mark.parametrize("lora", [0, 4])
def test_a_reward_model_gives_one_score(train, log, pairs, write, tmp_path, lora):
    """The saved model, head included, still tells the pairs apart as it did in training."""
    train("reward", write(pairs), settings={"margin": 1.0, "centre": 0.01}, lora=lora, learning_rate=3e-3, max_steps=12)
    folder = tmp_path / "run" / "model"
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    margins = []
    for pair in pairs:
        texts = []
        for side in ("chosen", "rejected"):
            turns = [{"role": "user", "content": pair["prompt"]}, {"role": "assistant", "content": pair[side]}]
            texts.append(tokenizer.apply_chat_template(turns, tokenize=False).removesuffix("\n"))
        batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right", add_special_tokens=False)
        better, worse = model(**batch).logits.squeeze(-1).tolist()
        margins.append(better - worse)
    assert log()[-1]["accuracy"] > 0.8
    assert sum(margins) / len(margins) == pytest.approx(log()[-1]["margin"], rel=0.5)


@pytest.mark.parametrize("lora", [0, 4])
def test_a_bfloat16_model_is_trained_and_comes_back_as_one(train, log, pairs, write, tmp_path, lora):
    folder = tmp_path / "half"
    AutoModelForCausalLM.from_pretrained(lab_model("lab:policy")).bfloat16().save_pretrained(folder)
    AutoTokenizer.from_pretrained(lab_model("lab:policy")).save_pretrained(folder)
    train("dpo", write(pairs), model=str(folder), precision="bfloat16", lora=lora, gradient_checkpointing=True, max_steps=3)
    steps = log()
    assert steps[0]["margin"] == pytest.approx(0, abs=0.5)  # autocast rounds by batch; float32 has 1e-4 here
    assert steps[-1]["margin"] > steps[0]["margin"]
    assert {value.dtype for value in weights(tmp_path / "run" / "model").values()} == {torch.bfloat16}


def test_an_encoder_can_be_a_reward_model(train, log, pairs, write, tmp_path):
    tokenizer = byte_tokenizer(chat_template=None)
    tokenizer.add_special_tokens({"cls_token": "[CLS]", "sep_token": "[SEP]"})
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(tokenizer), hidden_dropout_prob=0.5, **shape)
    BertModel(config).save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    train("reward", write(pairs), model=str(tmp_path / "bert"), max_steps=8, learning_rate=3e-3)
    steps = log()
    assert steps[-1]["loss"] < steps[0]["loss"]
    with pytest.raises(UsageError, match="no chat template"):
        train("dpo", write(pairs), "other", model=str(tmp_path / "bert"))


def test_held_out_prompts_are_judged_and_the_best_is_kept(train, log, pairs, write, tmp_path):
    run = train("dpo", write(pairs), eval_fraction=0.25, save_every=2, max_steps=4)
    assert run["data"]["held_out"] == 2
    entries = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [entry["eval_loss"] for entry in entries if "eval_loss" in entry]
    assert run["metrics"]["eval_loss"] == pytest.approx(min(losses), abs=1e-6)


def test_training_stops_when_the_held_out_loss_gets_no_better(train, pairs, write):
    contrary = [{**pair, "p_chosen": 1.0} for pair in pairs]
    contrary += [{**pair, "prompt": "Again: " + pair["prompt"], "p_chosen": 0.0} for pair in pairs]
    run = train("dpo", write(contrary), eval_fraction=0.5, patience=1, save_every=1, max_steps=30, learning_rate=5e-3)
    assert run["metrics"]["steps"] < 30


def test_an_infinite_step_fails_and_the_last_good_checkpoint_stays(train, pairs, write, tmp_path, monkeypatch):
    whole = FeedbackTrainer.compute_loss

    def broken(self, *arguments, **options):
        loss = whole(self, *arguments, **options)
        return loss * float("nan") if self.state.global_step == 3 else loss

    monkeypatch.setattr(FeedbackTrainer, "compute_loss", broken)
    with pytest.raises(RunFailed, match=r"nan at step 4.*checkpoint-2"):
        train("dpo", write(pairs), save_every=2)
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["status"] == "failed"
    assert "nan" in run["error"]
    assert all(value.isfinite().all() for value in weights(tmp_path / "run" / "checkpoints" / "checkpoint-2").values())


def test_weights_do_not_take_a_step_whose_gradient_is_infinite(train, pairs, write, tmp_path, monkeypatch):
    """The loss is finite, its gradient is not: without a guard the checkpoint of this very step would hold NaN."""
    whole = FeedbackTrainer.compute_loss

    def broken(self, model, *arguments, **options):
        loss = whole(self, model, *arguments, **options)
        weight = next(model.parameters())
        return loss + (0 * weight.sum()).abs().sqrt() if self.state.global_step == 2 else loss

    monkeypatch.setattr(FeedbackTrainer, "compute_loss", broken)
    with pytest.raises(RunFailed, match="gradient is not finite at step 3"):
        train("dpo", write(pairs), save_every=1)
    for kept in (tmp_path / "run" / "checkpoints").iterdir():
        assert all(value.isfinite().all() for value in weights(kept).values())


def test_another_runs_folder_is_not_touched(train, pairs, write):
    source = write(pairs)
    train("dpo", source, max_steps=1)
    with pytest.raises(UsageError, match="max-steps 1, not 2"):
        train("dpo", source, max_steps=2)
    write(pairs[:6])
    with pytest.raises(UsageError, match="other rows"):
        train("dpo", source, max_steps=1)
    with pytest.raises(UsageError, match="another run"):
        train("ipo", source, max_steps=1)
    assert train("ipo", source, max_steps=2, overwrite=True)["status"] == "finished"


def test_a_folder_that_is_no_runs_is_not_touched(train, pairs, write, tmp_path):
    mine = tmp_path / "run" / "model" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    with pytest.raises(UsageError, match="of no run"):
        train("dpo", write(pairs), max_steps=1)
    assert mine.read_text() == "years of work"


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_another_split_does_not_take_the_last_ones_reference(train, log, pairs, write, method):
    """The cache is of rows in an order, and of kto's mismatches: another seed has others."""
    source = write(pairs)
    for seed in (0, 1):
        train(method, source, seed=seed, eval_fraction=0.25, max_steps=1, batch_size=4, overwrite=True)
        assert log()[0]["margin"] == pytest.approx(0, abs=1e-4)


def test_logits_of_prompts_are_not_asked_for(pairs):
    """The same log-probabilities as from all logits, from a model that is asked for the responses' part alone."""
    items = [Item((Tokens(list(range(5, 5 + size)), start),), 1.0) for size, start in ((12, 7), (9, 6), (20, 11))]
    batch = collate(items, pad=0)
    asked = []

    class Model:
        def forward(self, input_ids, attention_mask, use_cache, logits_to_keep=0):
            asked.append(logits_to_keep)
            logits = torch.sin(torch.arange(input_ids.numel() * 30.0)).view(*input_ids.shape, 30)
            return type("Output", (), {"logits": logits[:, -logits_to_keep:]})

        __call__ = forward

    sums, lengths = logprobs(Model(), batch)
    full = torch.sin(torch.arange(batch.ids.numel() * 30.0)).view(*batch.ids.shape, 30).log_softmax(-1)
    for row, item in enumerate(items):
        (tokens,) = item.sequences
        wanted = sum(full[row, place - 1, tokens.ids[place]] for place in range(tokens.start, len(tokens.ids)))
        assert sums[row].item() == pytest.approx(wanted.item(), rel=1e-5)
        assert lengths[row] == len(tokens.ids) - tokens.start
    assert asked == [20 - 6 + 1]


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")
