import pytest

from rlaif.errors import UsageError
from rlaif.rl import fit as module
from rlaif.rl.fit import fit, planned, setting_of
from rlaif.rl.memory import Setting, Shape, plan
from rlaif.rl.rewards.config import RewardConfig
from rlaif.settings import configure

SHAPE = Shape(12, 768, 2048, 12, 4, 64, 32_000, True)


def test_a_run_that_cannot_fit_is_refused_with_settings_that_do(configured, monkeypatch):
    setting, config = Setting(SHAPE, False, 200), configured("ppo", batch_size=32, max_tokens=200)
    need = plan(config, setting).peak
    monkeypatch.setattr(module, "_total", lambda device: int(need / module.SPARE * 1.01))
    assert fit(config, setting).micro_tokens
    monkeypatch.setattr(module, "_total", lambda device: int(need * 0.4))
    with pytest.raises(UsageError, match=r"needs .* GiB.*has room for.*; with .*--lora 16 it needs"):
        fit(config, setting)
    monkeypatch.setattr(module, "_total", lambda device: 2**20)
    with pytest.raises(UsageError, match="take a smaller --model"):
        fit(config, setting)
    monkeypatch.setattr(module, "_total", lambda device: 0)  # not known
    assert fit(config, setting).micro_tokens


def test_the_refusal_comes_before_anything_is_written(learn, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_total", lambda device: 2**20)
    with pytest.raises(UsageError, match="the run needs"):
        learn("rloo")
    assert not (tmp_path / "run").exists()


def test_critics_and_reward_models_in_this_process_count(configured, prompts):
    config = configured("rloo", model="lab:policy", source=prompts, rewards=configure(RewardConfig, critic=["lab"]))
    lines = planned(config)
    assert "critics" in lines[1] and lines[0].startswith("memory of tensors on this device, float32, passes of 2,048 tokens")
    served = configure(RewardConfig, critic=["http://127.0.0.1:9/v1"])
    assert "critics" not in planned(configured("rloo", model="lab:policy", source=prompts, rewards=served))[1]


def test_a_model_that_is_not_here_has_no_plan(configured, prompts):
    (line,) = planned(configured("rloo", model="./nowhere", source=prompts))
    assert line == "memory: not known: ./nowhere: no such folder"


def test_the_longest_prompt_counts(tiny, configured, made_up):
    from rlaif.models.load import find_base

    queries = [one.query for one in made_up()]
    setting = setting_of(configured("rloo"), find_base(str(tiny), "causal", None, "auto", False), queries)
    assert setting.prompt == max(len(query.ids) for query in queries)
