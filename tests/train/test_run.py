"""Whole runs with the lab's policy: every method learns, soft labels matter, and what comes out can be loaded."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertModel

from rlaif.engines import EngineConfig
from rlaif.engines.open import lab_model
from rlaif.errors import RunFailed, UsageError
from rlaif.models.load import check_packing, find_base
from rlaif.settings import configure
from rlaif.train.batches import collate, pack
from rlaif.train.config import configuration
from rlaif.train.data import read_data, split
from rlaif.train.items import Item, Tokens
from rlaif.train.loop import FeedbackTrainer
from rlaif.train.objectives import logprobs
from tests.tiny import byte_tokenizer, save_model

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


@pytest.mark.parametrize("method", ["dpo", "sft", "kto"])
def test_how_a_batch_is_cut_does_not_change_the_step(train, log, pairs, write, tmp_path, monkeypatch, method):
    """kto's baseline included, which is here of rows that differ, and above 0.

    Most weights agree to 1e-6; Adam makes a part of a step of a rounding error where a gradient is next to nothing."""
    monkeypatch.setattr(
        "rlaif.train.methods.kto.Kto.log_ratios", lambda self, model, batch: batch.ids[: len(batch.p)].float().sum(1) / 1e4
    )
    source = write(pairs)
    for micro in (2, 4, 8):
        train(method, source, f"by-{micro}", micro_batch=micro, max_steps=3)
    whole = weights(tmp_path / "by-8" / "model")
    for micro in (2, 4):
        cut = weights(tmp_path / f"by-{micro}" / "model")
        apart = torch.cat([(cut[name] - whole[name]).abs().flatten() for name in whole])
        assert apart.quantile(0.99) < 1e-6
        assert apart.max() < 1e-3
        for one, other in zip(log(f"by-{micro}"), log("by-8"), strict=True):
            for name in one.keys() & {"loss", "grad_norm", "margin", "z0"}:
                assert one[name] == pytest.approx(other[name], rel=1e-3, abs=1e-4)
    if method == "kto":
        assert log("by-8")[-1]["z0"] > 0.01


def test_packing_changes_no_loss(train, log, pairs, write, tmp_path):
    source = write(pairs)
    for packing in (False, True):
        out = "packed" if packing else "padded"
        train("sft", source, out, settings={"packing": packing}, context=96, learning_rate=1e-4, max_steps=2)
    first, second = (weights(tmp_path / out / "model") for out in ("padded", "packed"))
    assert max((first[name] - second[name]).abs().max().item() for name in first) < 1e-5  # of steps of 1e-4
    for one, other in zip(log("padded"), log("packed"), strict=True):
        assert one == pytest.approx(other, rel=1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_examples_do_not_see_each_other(tmp_path, attention):
    """The same log-probability for all the responses together, however they lie in rows."""
    model = AutoModelForCausalLM.from_pretrained(save_model(tmp_path / "tiny"), attn_implementation=attention).eval()
    items = [Item((Tokens(list(range(5, 5 + size)), start),), 1.0) for size, start in ((12, 7), (9, 6), (20, 11), (3, 1))]
    with torch.no_grad():
        padded, _ = logprobs(model, collate(items, pad=0))
        packed, _ = logprobs(model, pack(items, pad=0, context=30))
    assert len(packed) == 2
    assert packed.sum().item() == pytest.approx(padded.sum().item(), rel=1e-6)
    check_packing(model, "tiny")
    whole = type(model).forward
    model.forward = lambda **given: whole(model, **{**given, "position_ids": None})
    with pytest.raises(UsageError, match="tiny does not keep packed examples apart"):
        check_packing(model, "tiny")


def test_only_the_assistants_turns_are_learnt(train, log, pairs, write):
    """Two conversations that part early: the one preferred gets likelier, and the other side's words do not count."""
    rows = []
    for pair in pairs:
        turns = [
            [
                {"role": "assistant", "content": pair[side]},
                {"role": "user", "content": f"Why {side}?"},
                {"role": "assistant", "content": pair[side]},
            ]
            for side in ("chosen", "rejected")
        ]
        rows.append({"prompt": pair["prompt"], "chosen": turns[0], "rejected": turns[1]})
    run = train("dpo", write(rows))
    assert run["data"]["failed"] == 0
    assert log()[0]["margin"] == pytest.approx(0, abs=1e-4)
    assert log()[-1]["margin"] > log()[0]["margin"]


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="needs bitsandbytes")
def test_an_adapter_on_four_bits_learns_and_is_merged_into_what_it_was_trained_on(train, log, pairs, write, tmp_path):
    """The saved model's margins over the 4-bit base are the last step's, but for that step."""
    run = train("dpo", write(pairs), lora=4, quantize="4bit", learning_rate=1e-2, eval_fraction=0.25, save_every=6)
    assert log()[0]["margin"] == pytest.approx(0, abs=1e-4)
    assert log()[-1]["margin"] > 0.1
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model").eval()
    config = configure(
        configuration("dpo"),
        source=str(tmp_path / "rows.jsonl"),
        model="lab:policy",
        out=tmp_path / "run",
        eval_fraction=0.25,
    )
    base = find_base("lab:policy", "causal", None, "float32", False, chat=True)
    data = read_data(config, base)
    split(data, config, base)
    reference = load_file(next((tmp_path / "run").glob("reference-*.safetensors")))["logprobs"][len(data.items) :]
    with torch.no_grad():
        sums, _ = logprobs(model, collate(data.held_out, base.pad))
    margin = (sums.view(2, -1).T - reference) @ torch.tensor([1.0, -1.0])
    assert margin.mean().item() == pytest.approx(run["metrics"]["eval_margin"], rel=0.02)


def test_the_model_is_a_normal_folder_and_its_card_says_how_it_came(train, pairs, write, tmp_path):
    run = train("dpo", write([*pairs, {**pairs[0], "p_chosen": 7}, {"prompt": "hi"}]), max_steps=2, learning_rate=1e-4)
    model = tmp_path / "run" / "model"
    assert AutoModelForCausalLM.from_pretrained(model).config.model_type == "qwen3"
    assert AutoTokenizer.from_pretrained(model).chat_template
    assert EngineConfig(str(model), engine="transformers").open().identity.startswith("model@")
    assert run["status"] == "finished"
    assert run["data"]["failed"] == 2
    card = (model / "README.md").read_text()
    for part in (run["data"]["digest"], run["base"], "rlaif", "| loss |", "| beta | 0.1 |"):
        assert part in card
    assert (tmp_path / "run" / "report.html").is_file()
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
    with pytest.raises(UsageError, match="holds a run with method 'dpo', not 'ipo'"):
        train("ipo", source, max_steps=1)
    assert train("ipo", source, max_steps=2, overwrite=True)["status"] == "finished"


def test_a_folder_that_is_no_runs_is_not_touched(train, pairs, write, tmp_path):
    mine = tmp_path / "run" / "model" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    with pytest.raises(UsageError, match="belongs to no run"):
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
