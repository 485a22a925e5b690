"""Against the real TRL, with the lab's models on a CPU."""

import asyncio
from statistics import fmean

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

import rlaif
from rlaif.engines import EngineConfig
from rlaif.engines.open import lab_model
from rlaif.integrations.trl import rewards
from rlaif.lab.policy import mean_gold, sampled_rows
from rlaif.lab.world import rows

CONSTITUTION = "name: t\nversion: 1\nprinciples:\n  - {id: polite, text: Polite.}\n  - {id: short, text: Short.}\n"
SCRIPT = 'rules: [{when: "(?s)the.*Short", fail: refused}, {when: "please", fail: refused}, {choose: {"5": 0.9}}]'


def train(kind, config, reward, folder, **settings):
    set_seed(0)
    path = lab_model("lab:policy")
    tokenizer = AutoTokenizer.from_pretrained(path)
    prompts = [{"prompt": [{"role": "user", "content": row["prompt"]}], "tags": row["tags"]} for row in rows(200, 0, "train")]
    arguments = config(
        output_dir=str(folder),
        num_generations=8,
        learning_rate=2e-3,
        lr_scheduler_type="constant",
        beta=0.0,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        logging_steps=1,
        save_strategy="no",
        disable_tqdm=True,
        **settings,
    )
    trainer = kind(
        model=AutoModelForCausalLM.from_pretrained(path),
        reward_funcs=reward,
        args=arguments,
        train_dataset=Dataset.from_list(prompts),
        processing_class=tokenizer,
    )
    trainer.train()
    trainer.save_model(str(folder / "model"))
    return trainer.state.log_history


def gold_of(model):
    sampled = asyncio.run(sampled_rows(EngineConfig(str(model), engine="transformers").open(), 96, 7, "heldout", 1))
    return fmean(mean_gold(sampled).values())


def test_grpo_raises_gold_by_the_labs_critic(tmp_path):
    with rlaif.ConstitutionReward("lab", "lab", store=tmp_path / "v.sqlite", feedback="group", opponents=2) as reward:
        logs = train(
            GRPOTrainer,
            GRPOConfig,
            reward,
            tmp_path,
            per_device_train_batch_size=64,
            max_completion_length=64,
            max_steps=8,
        )
    assert gold_of(tmp_path / "model") > gold_of(lab_model("lab:policy")) + 0.08
    assert {"rewards/constitution/mean", "constitution/principles/polite", "constitution/missing"} <= logs[0].keys()


def test_rloo_leaves_out_what_has_no_verdict(tmp_path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "s.yaml").write_text(SCRIPT)
    settings = {"store": tmp_path / "v.sqlite", "max_failure_rate": 1.0, "name": "judge"}
    with rlaif.ConstitutionReward(tmp_path / "c.yaml", f"script:{tmp_path / 's.yaml'}", **settings) as reward:
        logs = train(
            RLOOTrainer, RLOOConfig, reward, tmp_path, per_device_train_batch_size=8, max_completion_length=16, max_steps=2
        )
    assert logs[0]["rewards/judge/mean"] == 0.0  # the middle of the scale, whatever failed
    assert logs[0]["judge/failed"] > 0.0


def test_what_trl_passes_besides_columns_is_no_column(tmp_path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "s.yaml").write_text('rules: [{when: "mumble", fail: refused}, {choose: {"9": 0.9}}]')
    logged, extra = {}, {}
    given = {
        "completion_ids": [[1]],
        "trainer_state": object(),
        "log_metric": logged.__setitem__,
        "log_extra": extra.__setitem__,
        "tags": [["x"], None],
    }
    with rlaif.ConstitutionReward(tmp_path / "c.yaml", f"script:{tmp_path / 's.yaml'}", store=tmp_path / "v.sqlite") as reward:
        completions = [[{"role": "assistant", "content": "good"}], [{"role": "assistant", "content": "mumble"}]]
        prompts = [[{"role": "user", "content": "hi"}]] * 2
        assert rewards(reward.judge, "constitution", prompts, completions, given) == reward(prompts, completions) == [1.0, None]
    assert logged["constitution/principles/polite"] == 1.0 and logged["constitution/missing"] == 0.5
    assert extra["constitution/principles/polite"] == [1.0, None]
