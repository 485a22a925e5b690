import json
from pathlib import Path

import datasets
from ruamel.yaml import YAML

from rlaif.data.card import card
from rlaif.data.exports import write_export
from rlaif.data.parquet import write_parquet
from rlaif.evaluate.quality import as_markdown, quality
from tests.reference.fake_run import preferences, write_run


def test_datasets_finds_the_data_through_the_card(tmp_path: Path) -> None:
    records = preferences(30)
    folder = write_run(tmp_path / "run", records, config={"export": ["unpaired"]})
    write_parquet(folder / "preferences.jsonl", folder / "preferences.parquet")
    write_export("unpaired", folder)
    judged = quality(folder)
    (folder / "README.md").write_text(card(judged.run, as_markdown(judged)), encoding="utf-8")
    held = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert held.to_list() == records
    other = datasets.load_dataset(str(folder), "unpaired", split="train", cache_dir=str(tmp_path / "cache"))
    assert {"prompt", "completion", "label"} <= set(other.column_names)


def test_the_card_says_what_was_done(tmp_path: Path) -> None:
    run = json.loads((write_run(tmp_path, preferences(3)) / "run.json").read_text())
    text = card(run, "QUALITY")
    for part in (run["command"], "`fake`", "`0123abcd`", "`scripted`", "QUALITY", "4 rows went in", "p_chosen"):
        assert part in text


def test_no_name_can_break_the_front_matter_or_the_code() -> None:
    run = {
        "constitution": {"name": "a\n---\nb`c"},
        "critic": "x`\n# y",
        "command": "rlaif ```\n```",
        "counts": {},
    }
    text = card(run, "", scored=True)
    front = YAML(typ="safe").load(text.split("---")[1])
    assert [config["config_name"] for config in front["configs"]] == ["preferences", "scores"]
    assert text.count("```") == 4
    assert "\n# y" not in text
