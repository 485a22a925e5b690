"""Every example of examples/ runs, and shows what its page says."""

import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def module():
    def load(name):
        spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded

    return load


def test_only_the_principle_whose_wording_changed_is_asked_again(module, tmp_path, capsys):
    module("edit_a_principle").main(tmp_path)
    first, weight, wording = capsys.readouterr().out.splitlines()
    pairs, orders, principles = 8, 2, 2
    assert first == f"first run: {pairs * orders * principles} asked, 0 from the store"
    assert weight == f"another weight: 0 asked, {pairs * orders * principles} from the store"
    assert wording.endswith(f"{pairs * orders} asked, {pairs * orders} from the store")


def test_a_run_is_described_by_one_file(rlaif, tmp_path):
    shutil.copytree(EXAMPLES / "support", tmp_path / "examples" / "support")
    code, _, err = rlaif("label", "--config", "examples/support/label.yaml")
    assert code == 0, err
    preferences = map(json.loads, (tmp_path / "runs" / "support" / "preferences.jsonl").read_text().splitlines())
    by_row = {record["id"].partition(":")[0]: record for record in preferences}
    assert by_row["parcel"]["rejected"][0]["content"] == "Tomorrow morning, I promise."
    principles = {name: {entry["id"] for entry in record["principles"]} for name, record in by_row.items()}
    assert principles["broken"] - principles["hours"] == {"next-step"}
    assert (tmp_path / "runs" / "support" / "unpaired.jsonl").is_file()


def test_a_verifier_of_ones_own_is_the_reward(rlaif, tmp_path):
    assert rlaif("lab", "rows", "--out", "prompts.jsonl", "--n", "8", "--prompts-only")[0] == 0
    reward = ("--reward", "verifier", "--verifier", f"{EXAMPLES / 'verifier.py'}:in_words")
    size = ("--steps", "1", "--batch-size", "2", "--samples", "2", "--max-tokens", "8", "--eval-prompts", "2")
    code, _, err = rlaif("train", "rloo", "prompts.jsonl", "--model", "lab:policy", "--out", "run", *reward, *size)
    assert code == 0, err
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert 0 < last["reward"] <= 1


@pytest.mark.parametrize(("words", "expected"), [(0, None), (1, 1.0), (20, 1.0), (40, 0.5)])
def test_the_verifiers_values(module, words, expected):
    assert module("verifier").in_words({}, "word " * words) == expected


def test_the_page_names_every_example():
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    linked = {target.partition("/")[0] for target in re.findall(r"\]\(([^)]+)\)", page)}
    assert linked == {path.name for path in EXAMPLES.iterdir()} - {"README.md", "__pycache__"}


def test_the_files_of_the_real_demo_can_be_read():
    from rlaif.constitution.load import load_constitution
    from rlaif.data.read import read_rows
    from rlaif.rl.rewards.mix_file import load_mix

    prompts = [row.conversation[0]["content"] for row in read_rows(str(EXAMPLES / "real" / "prompts.jsonl"))]
    assert len(set(prompts)) == 30
    assert [principle.id for principle in load_constitution(EXAMPLES / "real" / "constitution.yaml").principles] == ["direct"]
    (second,) = load_mix(EXAMPLES / "real" / "second.yaml").ingredients
    assert Path(second.config.verifier.rpartition(":")[0]).is_file()


def test_a_server_is_described_by_one_file(tmp_path):
    from rlaif.config_file import read_config
    from rlaif.serve.config import ServeConfig
    from rlaif.serve.forms import CompareRequest
    from rlaif.settings import configure

    config = configure(ServeConfig, **read_config(EXAMPLES / "serve" / "serve.yaml", ServeConfig))
    assert config.critic.models == ("http://localhost:8000",) and len(config.also) == 1
    assert CompareRequest.model_validate_json((EXAMPLES / "serve" / "compare.json").read_text())
