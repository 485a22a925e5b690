"""No principle's id can be taken for something of a run's own: whatever it is called, every figure is as by a neutral name."""

import json
import re
from dataclasses import asdict

import numpy as np
import pytest

from rlaif.data.columns import columns, entry_in
from rlaif.data.records import RECORDS, PreferenceRecord, ScoreRecord, beside_overall, read_records
from rlaif.evaluate.quality import as_markdown, quality
from rlaif.label.pipeline import Counts
from rlaif.rl.monitor.limits import LIMITS
from rlaif.rl.rewards.tally import FAILED, SPREAD, VETO
from tests.reference.report_page import Page

METRICS = """
    step reward reward-std failed ended length learned-from kl entropy mismatch mismatch-max importance advantage-std beta
    policy-loss value-loss clip-fraction approx-kl gradient-norm minibatches learning-rate seconds seconds-sampling
    seconds-waiting seconds-learning distinct-1 distinct-2 self-bleu smoothed best-step gap beta-factor fall-z fall-share task
    heldout second second-collapse monitor
""".split()
OTHERS = "overall principles sources total any all none null gold constructor prototype value-of to-string length-0".split()


def every_name():
    kinds = [*RECORDS.values()]
    kinds += [inner for kind in RECORDS.values() for each in columns(kind).values() if (inner := entry_in(each.hint))]
    own = [name for kind in kinds for name in columns(kind)]
    own += [*Counts().__dict__, FAILED, SPREAD, VETO, *LIMITS, *METRICS, *OTHERS]
    return list(dict.fromkeys(name.replace("_", "-") for name in own))


NAMES = every_name()
NEUTRAL = [f"p{number}" for number in range(len(NAMES))]
NEW = dict(zip(NEUTRAL, NAMES, strict=True))


def write_constitution(path, names):
    principles = [
        {"id": name, "text": f"Quality number {number}.", "weight": 1 + number % 3} for number, name in enumerate(names)
    ]
    path.write_text(json.dumps({"name": "c", "version": 1, "principles": principles}))


def write_script(path, choose):
    """choose: (number, whether the good response is meant) to probabilities of labels."""
    rules = []
    for number in range(len(NAMES)):
        asks = rf"Quality number {number}\."
        if number % 10 == 3:
            rules.append({"when": asks, "fail": "refused", "rate": 0.4})
        rules.append({"when": rf"(?s)<response(_a)?>\s*\S*good.*{asks}", "choose": choose(number, True)})
        rules.append({"when": asks, "choose": choose(number, False)})
    path.write_text(json.dumps({"rules": rules}))


def write_rows(path, names):
    rows = []
    for row in range(6):
        texts = [f"{'good' if (row + index) % 2 else 'bad'} answer {index}" for index in range(3)]
        responses = [
            {
                "text": text,
                "gold": {beside_overall(name): (number * 7 + index * 3 + row) % 5 / 4 for number, name in enumerate(names)},
            }
            for index, text in enumerate(texts)
        ]
        rows.append({"prompt": f"question {row}", "responses": responses})
    rows.append({"prompt": "a known preference", "chosen": "good one", "rejected": "bad one"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def compared(number, good):
    p = (number * 13 % 17 + 1) / 20
    return {"A": p, "B": 1 - p} if good else {"A": 1 - p, "B": p}


def scored(number, good):
    return {str(1 + number % 9): 0.75, str(1 + (number * 5 + 3 * good) % 9): 0.25}


def taken_apart(record, new):
    """What a record says but for gold, and its gold, principles renamed; ``new`` holds the names that are to change."""
    values = record.to_dict()
    for entry in values["principles"]:
        entry["id"] = new.get(entry["id"], entry["id"])
    gold = {label.pop("id"): label for label in values.pop("gold")}
    return values, {beside_overall(new[name]) if name in new else name: label for name, label in gold.items()}


@pytest.fixture
def both(tmp_path):
    """Runs a test's command by either naming, in a folder of its own."""
    for folder, names in (("neutral", NEUTRAL), ("own", NAMES)):
        (tmp_path / folder).mkdir()
        write_constitution(tmp_path / folder / "c.yaml", names)
        write_rows(tmp_path / folder / "rows.jsonl", names)
        write_script(tmp_path / folder / "compare.yaml", compared)
        write_script(tmp_path / folder / "score.yaml", scored)
        mix = {"id": "x" if folder == "neutral" else "failed", "kind": "critic", "critic": f"script:{folder}/score.yaml"}
        mix |= {"constitution": "c.yaml", "gate": {"below": -0.9, "value": -5.0}}
        (tmp_path / folder / "mix.yaml").write_text(json.dumps({"sources": [mix]}))
    return tmp_path


def payload(folder):
    return Page((folder / "report.html").read_text(encoding="utf-8")).blocks


@pytest.mark.parametrize(("mode", "kind"), [("compare", PreferenceRecord), ("score", ScoreRecord)])
def test_labels_quality_and_report(both, rlaif, mode, kind):
    for folder in ("neutral", "own"):
        given = ["--constitution", f"{folder}/c.yaml", "--critic", f"script:{folder}/{mode}.yaml", "--store", f"{folder}/s"]
        code, _, error = rlaif(
            *("label", f"{folder}/rows.jsonl", *given, "--out", f"{folder}/run", "--mode", mode, "--max-failure-rate", "1")
        )
        assert code == 0, error
    neutral, own = both / "neutral" / "run", both / "own" / "run"
    name = "preferences.jsonl" if mode == "compare" else "scores.jsonl"
    pairs = zip(read_records(neutral / name, kind), read_records(own / name, kind), strict=True)
    for expected, found in pairs:
        assert taken_apart(found, {}) == taken_apart(expected, NEW)
    first, second = quality(neutral), quality(own)
    assert [NEW[one.id] for one in first.principles] == [one.id for one in second.principles]
    for one, other in zip([first.overall, *first.principles], [second.overall, *second.principles], strict=True):
        np.testing.assert_equal({**asdict(other), "id": ""}, {**asdict(one), "id": ""})
    np.testing.assert_equal(second.redundancy, first.redundancy)
    tables = [as_markdown(judged).partition("\n\n|")[2].splitlines()[2:] for judged in (first, second)]
    cells = [[line.split(" | ") for line in table] for table in tables]
    assert [row[1:] for row in cells[0]] == [row[1:] for row in cells[1]]
    assert len({row[0] for row in cells[1]}) == len(NAMES) + 1  # a reader can tell them apart
    expected_page, found_page = payload(neutral), payload(own)
    expected_page["pairs"]["principles"] = [beside_overall(NEW[name]) for name in expected_page["pairs"]["principles"]]
    np.testing.assert_equal(found_page, expected_page)


def test_an_on_policy_run(both, rlaif):
    assert rlaif("lab", "rows", "--out", "prompts.jsonl", "--n", "8", "--prompts-only")[0] == 0
    for folder in ("neutral", "own"):
        critic = ["--critic", f"script:{folder}/score.yaml", "--constitution", f"{folder}/c.yaml"]
        options = ["--steps", "2", "--batch-size", "2", "--samples", "2", "--max-tokens", "6", "--eval-prompts", "2"]
        options += ["--second", f"{folder}/mix.yaml", "--max-failure-rate", "1", "--out", f"{folder}/run"]
        code, _, error = rlaif("train", "rloo", "prompts.jsonl", "--model", "lab:policy", *critic, *options)
        assert code == 0, error

    def changed(key):
        key = re.sub(r"(?<=principles/)p\d+$", lambda found: NEW[found.group()], key)
        return key.replace("sources/x", "sources/failed")

    def lines(folder, name):
        return [json.loads(line) for line in (both / folder / "run" / name).read_text().splitlines()]

    def timeless(entry):
        return {name: value for name, value in entry.items() if not re.match("seconds|waiting", name)}

    for expected, found in zip(lines("neutral", "metrics.jsonl"), lines("own", "metrics.jsonl"), strict=True):
        assert timeless(found) == {changed(name): value for name, value in timeless(expected).items()}
    for expected, found in zip(lines("neutral", "samples.jsonl"), lines("own", "samples.jsonl"), strict=True):
        for rewards in (expected, expected["second"]):
            rewards["rewards"] = {changed(name): value for name, value in rewards["rewards"].items()}
        assert found == expected
    own = {name for entry in lines("own", "metrics.jsonl") for name in entry if "/" not in name}
    bare = {re.sub("^(heldout|monitor)_(second_)?", "", name).replace("_", "-") for name in own}
    assert bare <= set(NAMES), "metrics that no principle of this test is called like"
