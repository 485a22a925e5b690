"""Commands made from configurations: the same critic everywhere, ``--config``, ``--print-config``."""

from __future__ import annotations

import pytest

from rlaif.cli.constitution import TestConfig as ExamplesConfig
from rlaif.cli.flags import parameters
from rlaif.compare.config import CompareConfig, LabCompareConfig
from rlaif.critic.config import CriticConfig
from rlaif.evaluate.config import AgreementConfig, ConsistencyConfig, RewardModelConfig
from rlaif.label.config import LabelConfig, LadderConfig, ReviseConfig, WinRateConfig
from rlaif.rl.methods import METHODS as ONLINE
from rlaif.sample.config import SampleConfig
from rlaif.serve.config import ServeConfig
from rlaif.settings import settings_of
from rlaif.train.config import configuration
from rlaif.train.feedback import best_of_n_configuration, generated_configuration, rounds_configuration
from rlaif.train.methods import LOSSES as OFFLINE
from rlaif.train.methods import find_loss

DECIDED = {"mode"}
"""Settings of the critic that a command may decide itself."""
ASKING = {
    "label": LabelConfig,
    "revise": ReviseConfig,
    "evaluate agreement": AgreementConfig,
    "evaluate win-rate": WinRateConfig,
    "evaluate ladder": LadderConfig,
    "constitution test": ExamplesConfig,
    "serve": ServeConfig,
    "compare": CompareConfig,
    "lab compare": LabCompareConfig,
    "train best-of-n": best_of_n_configuration(),
    "train critic": generated_configuration(),
    **{f"train {method}": rounds_configuration(method) for method in OFFLINE if find_loss(method).prefers()},
    **{f"train {method}": kind for method, kind in ONLINE.items()},
}
EVERY = {
    **ASKING,
    "sample": SampleConfig,
    "evaluate reward": RewardModelConfig,
    "evaluate consistency": ConsistencyConfig,
    **{f"train {method}": configuration(method) for method in OFFLINE if method in ("sft", "reward")},
}


def critics():
    own = {("critic_context" if name == "context" else name): each for name, each in settings_of(CriticConfig).items()}
    return {name: each for name, each in own.items() if name not in DECIDED}


@pytest.mark.parametrize("command", ASKING)
def test_every_command_that_asks_a_critic_has_all_of_its_settings(command):
    theirs = settings_of(ASKING[command])
    wanted = critics()
    if "critic_labels" in theirs:
        wanted["critic_labels"] = wanted.pop("labels")  # a method's own --labels are what it learns from
    if command == "constitution test":
        wanted.pop("constitution")  # it is the argument
    assert wanted.keys() <= theirs.keys()
    for name, each in wanted.items():
        assert theirs[name].about == each.about and theirs[name].type == each.type, name
        if name not in ("critic", "constitution"):  # some commands can do without
            assert theirs[name].default == each.default, name


@pytest.mark.parametrize("command", EVERY)
def test_every_setting_has_help_and_a_box(command):
    for each in settings_of(EVERY[command]).values():
        assert each.about.help, each.name
        assert each.about.panel or each.about.argument, each.name


@pytest.mark.parametrize("command", EVERY)
def test_required_settings_come_first_and_nothing_stands_in_the_default_box(command):
    found = parameters(EVERY[command])
    required = ["(required)" in item.annotation.__metadata__[0].help for item in found]
    assert required == sorted(required, reverse=True)


def test_no_name_has_two_defaults():
    """Responses per prompt and lengths differ by purpose, and methods have settings of their own; nothing else does."""
    differing = {"samples", "max_tokens", "seed", "limit", "out", "source", "model", "pairs", "rounds", "export", "context"}
    differing |= {
        "labels",
        "batch_size",
        "epochs",
        "warmup",
        "save_every",
        "overwrite",
        "critic",
        "constitution",
        "prediction",
        "penalty",
    }
    differing |= {"budget", "verifier"}  # what suits the lab
    own = {"beta", "gamma", "lam", "kl", "kl_in", "value_clip", "margin", "normalise", "weight"}
    defaults: dict[str, set[str]] = {}
    for kind in EVERY.values():
        for name, each in settings_of(kind).items():
            defaults.setdefault(name, set()).add(repr(each.default))
    assert {name for name, values in defaults.items() if len(values) > 1} <= differing | own


@pytest.fixture
def script(tmp_path):
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.8, B: 0.1}}]")
    (tmp_path / "c.yaml").write_text("{name: c, version: 1, principles: [{id: kind, text: The response is kind.}]}")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "q", "responses": ["one", "two"]}\n')


def test_a_file_gives_settings_and_a_flag_wins(rlaif, script, tmp_path):
    (tmp_path / "run.yaml").write_text(
        "source: rows.jsonl\ncritic: script:s.yaml\nconstitution: c.yaml\nout: run\nstore: v.sqlite\norders: ab\n"
    )
    code, _, err = rlaif("label", "--config", "run.yaml", "--orders", "ba")
    assert code == 0, err
    import json

    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["config"]["orders"] == "ba" and run["config"]["critic"] == ["script:s.yaml"]


def test_the_run_folders_file_makes_the_same_run_again(rlaif, script, tmp_path):
    command = ("label", "rows.jsonl", "--critic", "script:s.yaml", "--constitution", "c.yaml", "--store", "v.sqlite")
    assert rlaif(*command, "--out", "run")[0] == 0
    before = (tmp_path / "run" / "preferences.jsonl").read_bytes()
    code, out, _ = rlaif("label", "--config", "run/config.yaml", "--out", "again")
    assert code == 0 and "0 asked" in out
    assert (tmp_path / "again" / "preferences.jsonl").read_bytes() == before


def test_print_config_prints_and_does_nothing_else(rlaif, script, tmp_path):
    code, out, _ = rlaif(
        "label",
        "rows.jsonl",
        "--critic",
        "script:s.yaml",
        "--constitution",
        "c.yaml",
        "--out",
        "run",
        "--votes",
        "3",
        "--print-config",
    )
    assert code == 0 and "votes: 3" in out and "critic:\n- script:s.yaml" in out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--config", "nowhere.yaml"), "nowhere.yaml: cannot be read"),
        (("--config", "bad.yaml"), "bad.yaml:1:1: voets: unknown key"),
        ((), "is missing"),
    ],
)
def test_what_is_wrong_is_exit_2(rlaif, tmp_path, flags, said):
    (tmp_path / "bad.yaml").write_text("voets: 1\n")
    code, _, err = rlaif("label", *flags)
    assert code == 2 and said in err


def test_a_switch_that_a_file_set_can_be_taken_back(rlaif, script, tmp_path):
    (tmp_path / "run.yaml").write_text("source: rows.jsonl\ncritic: lab\nconstitution: c.yaml\nout: run\nreasons: true\n")
    assert "reasons: true" in rlaif("label", "--config", "run.yaml", "--print-config")[1]
    assert "reasons" not in rlaif("label", "--config", "run.yaml", "--no-reasons", "--print-config")[1]


@pytest.mark.parametrize(("command", "boxes"), [("report", 2), ("lab rows", 1), ("constitution show", 2)])
def test_a_command_without_a_configuration_has_no_box_for_one(rlaif, monkeypatch, command, boxes):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = rlaif(*command.split(), "--help")
    assert code == 0 and "Configuration file" not in out and out.count("\u256d") == boxes
    assert all(len(line) <= 80 for line in out.splitlines())


@pytest.mark.parametrize("command", ["label", "sample", "train ppo", "train dpo", "evaluate agreement"])
def test_a_command_with_a_configuration_shows_help_beside_it(rlaif, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = rlaif(*command.split(), "--help")
    last = out[out.index("Configuration file") :]
    assert code == 0 and "--help" in last and "--config" in last
    assert all(len(line) <= 80 for line in out.splitlines())
