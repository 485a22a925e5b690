from pathlib import Path

from rlaif.annotate.config import AnnotateConfig
from rlaif.settings import configure


def test_answers_are_beside_the_run_or_where_they_are_wanted_and_gold_beside_them():
    config = configure(AnnotateConfig, run="runs/x")
    assert (config.log, config.gold) == (Path("runs/x/annotations.jsonl"), Path("runs/x/annotations-gold.jsonl"))
    config = configure(AnnotateConfig, run="runs/x", out="mine/a.jsonl")
    assert (config.log, config.gold) == (Path("mine/a.jsonl"), Path("mine/a-gold.jsonl"))
