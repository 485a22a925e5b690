"""Files that the commands of ``rlaif evaluate`` are tried on: a constitution, a script of rules, JudgeBench's shape."""

import json

import pytest

CONSTITUTION = "name: t\nversion: 1\nprinciples:\n  - {id: right, text: The response is right.}\n"
SCRIPT = """\
rules:
  - {when: "(?s)<response_a>.{0,2}good", choose: {A: 0.8, B: 0.2}}
  - {when: "(?s)<response_b>.{0,2}good", choose: {A: 0.4, B: 0.6}}
  - {choose: {A: 0.9, B: 0.1}}
"""


SCORES = """\
rules:
  - {when: "(?s)<response>.{0,2}good", choose: {"8": 0.9, "2": 0.1}}
  - {choose: {"2": 0.9, "5": 0.1}}
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "s.yaml").write_text(SCRIPT)
    (tmp_path / "scores.yaml").write_text(SCORES)
    sources = ["mmlu-pro-law", "livebench-reasoning", "livebench-math", "livecodebench", "livecodebench"]
    rows = [
        {"question": "q", "response_A": f"good {at}", "response_B": f"bad {at}", "label": label, "source": source}
        for at, (source, label) in enumerate(zip(sources, ["A>B", "A>B", "B>A", "A>B", "A>B"], strict=True))
    ]  # fmt: skip
    rows[4] |= {"response_A": "odd", "response_B": "even"}
    (tmp_path / "jb.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
