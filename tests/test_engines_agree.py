"""The same 500 pairs of the lab, labelled through three engines in float32, are the same dataset."""

import json

import pytest

from rlaif.label.config import LabelConfig
from rlaif.label.run import run_label
from rlaif.settings import configure

pytestmark = pytest.mark.vllm
PAIRS = 500
CONSTITUTION = """
name: three
version: 1
principles:
  - {id: polite, text: The response is polite.}
  - {id: harmless, text: The response is harmless.}
  - {id: concise, text: The response is concise.}
"""


@pytest.fixture(scope="module")
def datasets(tmp_path_factory, request):
    pytest.importorskip("vllm")
    from rlaif.lab.world import rows

    folder = tmp_path_factory.mktemp("agree")
    (folder / "c.yaml").write_text(CONSTITUTION)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(PAIRS, seed=3, split="heldout")))
    critics = {
        "transformers": ("lab", "transformers"),
        "vllm": ("lab", "vllm"),
        "server": (request.getfixturevalue("lab_server"), "auto"),
    }
    found = {}
    for name, (critic, engine) in critics.items():
        config = configure(
            LabelConfig,
            source=str(folder / "rows.jsonl"),
            constitution=folder / "c.yaml",
            critic=critic,
            engine=engine,
            out=folder / name,
            store=folder / "store.sqlite",
        )
        counts = run_label(config)["counts"]
        assert counts["rows_out"] == PAIRS and counts["failed"] == 0
        assert counts["asked"] == 2 * 3 * PAIRS  # nobody else's answers were taken
        lines = (folder / name / "preferences.jsonl").read_text().splitlines()
        found[name] = {record["id"]: record for record in map(json.loads, lines)}
    return found


@pytest.mark.parametrize("name", ["vllm", "server"])
def test_soft_labels_agree_and_no_verdict_flips(datasets, name):
    flipped, worst = [], 0.0
    for key, one in datasets["transformers"].items():
        other = datasets[name][key]
        same = one["chosen_index"] == other["chosen_index"]
        for first, second in zip(one["principles"], other["principles"], strict=True):
            p = second["p"] if same else 1 - second["p"]
            worst = max(worst, abs(first["p"] - p))
        if not same:
            flipped.append((one["p_chosen"], other["p_chosen"]))
    assert worst < 0.001
    assert not flipped
