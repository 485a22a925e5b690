"""A scripted critic that fails on 30% of its calls: what it did say is as it was, and the failure list names the rest.

Which calls fail is known beforehand: the script draws by the SHA-256 of a prompt's text, which is computed here again.
"""

import hashlib
import itertools
import json
import random

import pytest

from rlaif.critic.templates import load_template
from rlaif.evaluate.quality import quality
from tests.label.test_pipeline import CONSTITUTION, SCRIPT, Project

RATE, ROWS = 0.3, 100
TEXTS = {"kind": "The response is kind.", "short": "The response is short."}
WEIGHTS = {"kind": 1.0, "short": 2.0}
SCORES = """
rules:
  - {when: "(?s)<response>.{0,2}good.*is kind", choose: {'8': 0.5, '9': 0.3}}
  - {when: "(?s)<response>.{0,2}good", choose: {'4': 0.7, '5': 0.2}}
  - {choose: {'2': 0.6, '3': 0.3}}
"""


@pytest.fixture
def project(tmp_path):
    found = Project(tmp_path)
    found.constitution(CONSTITUTION)
    rng = random.Random(0)
    found.rows([{"prompt": f"p{i}", "responses": [f"good {rng.random()}", f"bad {rng.random()}"]} for i in range(ROWS)])
    return found


def failing(script):
    return script.replace("rules:", f"rules:\n  - {{fail: engine_error, rate: {RATE}}}")


def fails(mode, conversation, responses, principle):
    """Whether the call about these responses, in this order, is one of the 30%."""
    template = load_template(mode)
    shown = [[{"role": "assistant", "content": text}] for text in responses]
    prompt = template.render(template.wording(TEXTS[principle], None), [{"role": "user", "content": conversation}], shown)
    digest = hashlib.sha256("\n".join(message.text for message in prompt).encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64 < RATE


def calls(project, mode):
    """By what a verdict is about, (row, principle, responses by index), whether each of its calls fails."""
    found = {}
    for number, line in enumerate((project.folder / "rows.jsonl").read_text().splitlines(), 1):
        row = json.loads(line)
        for principle in TEXTS:
            for indices in [(0, 1)] if mode == "compare" else [(0,), (1,)]:
                texts = [row["responses"][index] for index in indices]
                orders = [texts, texts[::-1]] if mode == "compare" else [texts]
                found[number, principle, indices] = [fails(mode, row["prompt"], order, principle) for order in orders]
    share = sum(itertools.chain(*found.values())) / sum(map(len, found.values()))
    assert share == pytest.approx(RATE, abs=0.06)
    return found


def listed(project, run="run"):
    """What failures.jsonl names, each once, with the orders that its detail names."""
    found = {}
    for failure in project.read("failures.jsonl", run):
        assert failure["reason"] == "engine_error"
        name = failure["row"], failure["principle"], tuple(failure["pair"])
        assert name not in found
        found[name] = [order for order in ("ab", "ba") if f"{order}: " in failure["detail"]]
    return found


def judged(project, run):
    """Each principle's p that response 0 is better (None: no verdict), by row; and the preference, where there is one."""
    by_row, overall = {}, {}
    for record in project.read("preferences.jsonl", run):
        turned = record["chosen_index"] == 1
        for entry in record["principles"]:
            p = entry["p"]
            by_row[record["row"], entry["id"]] = None if p is None else 1 - p if turned else p
        overall[record["row"]] = 1 - record["p_chosen"] if turned else record["p_chosen"]
    return by_row, overall


def mean(by_principle):
    known = {name: value for name, value in by_principle.items() if value is not None}
    return sum(WEIGHTS[name] * value for name, value in known.items()) / sum(WEIGHTS[name] for name in known)


def test_comparisons(project):
    project.label(out=project.folder / "sound")
    sound, _ = judged(project, "sound")
    project.script(failing(SCRIPT))
    project.label(max_failure_rate=1.0)
    known, overall = judged(project, "run")

    lost = {name: which for name, which in calls(project, "compare").items() if any(which)}
    assert listed(project) == {
        name: [order for order, failed in zip(("ab", "ba"), which, strict=True) if failed] for name, which in lost.items()
    }
    for row in range(1, ROWS + 1):
        kept = {one: sound[row, one] for one in TEXTS if (row, one, (0, 1)) not in lost}
        assert (row in overall) == bool(kept)
        if kept:
            assert {one: known[row, one] for one in TEXTS} == {one: kept.get(one) for one in TEXTS}
            assert overall[row] == pytest.approx(mean(kept), abs=2e-6)
    assert quality(project.folder / "run").failure_rate == len(lost) / (2 * ROWS)


def test_scores(project):
    project.script(SCORES)
    project.label(mode="score", out=project.folder / "sound")
    sound = {
        (r["row"], e["id"], (r["index"],)): e["score"] for r in project.read("scores.jsonl", "sound") for e in r["principles"]
    }
    project.script(failing(SCORES))
    project.label(mode="score", max_failure_rate=1.0)

    lost = {name for name, which in calls(project, "score").items() if any(which)}
    assert listed(project).keys() == lost
    records = {(record["row"], record["index"]): record for record in project.read("scores.jsonl")}
    for row, index in itertools.product(range(1, ROWS + 1), (0, 1)):
        kept = {one: sound[row, one, (index,)] for one in TEXTS if (row, one, (index,)) not in lost}
        assert ((row, index) in records) == bool(kept)
        if kept:
            record = records[row, index]
            assert {e["id"]: e["score"] for e in record["principles"]} == {one: kept.get(one) for one in TEXTS}
            assert record["score"] == pytest.approx(mean(kept), abs=2e-6)
    whole = {row for row in range(1, ROWS + 1) if any({(row, one, (0,)), (row, one, (1,))}.isdisjoint(lost) for one in TEXTS)}
    assert {record["row"] for record in project.read("preferences.jsonl")} == whole


def test_a_jury_goes_by_the_critic_that_answered(project):
    (project.folder / "lone.yaml").write_text(SCRIPT.replace("A: 0.6, B: 0.3", "A: 0.9, B: 0.1"))
    (project.folder / "sound.yaml").write_text(SCRIPT)
    lone, steady = f"script:{project.folder / 'lone.yaml'}", f"script:{project.folder / 'sound.yaml'}"
    project.label(critic=lone, out=project.folder / "lone")
    project.label(critic=steady, out=project.folder / "sound")
    (alone, _), (sound, _) = judged(project, "lone"), judged(project, "sound")
    project.script(failing(SCRIPT))
    project.label(jury=(lone,), max_failure_rate=1.0)
    known, _ = judged(project, "run")

    lost = {name for name, which in calls(project, "compare").items() if any(which)}
    assert listed(project).keys() == lost
    assert len({failure["critic"] for failure in project.read("failures.jsonl")}) == 1
    for row, principle in known:
        one = row, principle
        both = alone[one] if (*one, (0, 1)) in lost else (alone[one] + sound[one]) / 2
        assert known[one] == pytest.approx(both, abs=2e-6)
    assert len(known) == 2 * ROWS
