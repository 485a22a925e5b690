"""Critics whose faults are known, checked before they are asked."""

import sqlite3

import pytest

from rlaif.critic.config import CriticConfig
from rlaif.errors import UsageError
from rlaif.label.probe import findings, probe
from rlaif.settings import changed, configure

CONSTITUTION = """
name: test
version: 1
principles:
  - id: kind
    text: It is kind.
    examples: [EXAMPLES]
  - {id: short, text: It is short.}
""".replace("EXAMPLES", ", ".join(f"{{prompt: p{n}, better: good {n}, worse: bad {n}}}" for n in range(8)))
GOOD = r"""
rules:
  - {when: '(?s)<response_a>\s*</response_a>', choose: {A: 0.1, B: 0.85}}
  - {when: '(?s)<response_b>\s*</response_b>', choose: {A: 0.85, B: 0.1}}
  - {when: '(?s)<response_a>.{0,2}good.*<response_b>.{0,2}good', choose: {A: 0.48, B: 0.48}}
  - {when: '(?s)<response_a>.{0,2}good', choose: {A: 0.8, B: 0.15}}
  - {when: '(?s)<response_b>.{0,2}good', choose: {A: 0.15, B: 0.8}}
  - {choose: {A: 0.48, B: 0.48}}
"""
FAINT = r"""
rules:
  - {when: '(?s)<response_a>\s*</response_a>', choose: {A: 0.02, B: 0.17}}
  - {when: '(?s)<response_b>\s*</response_b>', choose: {A: 0.17, B: 0.02}}
  - {when: '(?s)<response_a>.{0,2}good.*<response_b>.{0,2}good', choose: {A: 0.08, B: 0.08}}
  - {when: '(?s)<response_a>.{0,2}good', choose: {A: 0.16, B: 0.03}}
  - {when: '(?s)<response_b>.{0,2}good', choose: {A: 0.03, B: 0.16}}
  - {choose: {A: 0.08, B: 0.08}}
"""
CRITICS = {
    "good": (GOOD, []),
    "always A": ("rules: [{choose: {A: 0.9, B: 0.05}}]", ["position decides", "at chance", "empty wins"]),
    "undecided": ("rules: [{choose: {A: 0.45, B: 0.45}}]", ["at chance", "empty wins"]),
    "about to say something else": (FAINT, ["label mass low"]),
    "mute": ("rules: [{fail: refused}]", ["fails"]),
}


@pytest.fixture
def config(tmp_path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    given = {
        "constitution": tmp_path / "c.yaml",
        "store": tmp_path / "store.sqlite",
        "critic": [f"script:{tmp_path / 's.yaml'}"],
    }
    return configure(CriticConfig, **given)


@pytest.mark.parametrize(("script", "against"), CRITICS.values(), ids=CRITICS)
def test_each_critic_is_told_by_its_fault(config, tmp_path, script, against):
    (tmp_path / "s.yaml").write_text(script)
    probed = probe(config)
    assert [finding.about for finding in findings(probed)] == against
    assert probe(config).asked == 0  # all of it is in the store
    assert probed.verdicts + probed.failed == 2 * 8 + 3 * 8


def test_it_compares_in_both_orders_and_takes_one_critic(config):
    for options in ({"orders": "ab"}, {"mode": "score"}, {"critic": ["lab", "lab:fallible"]}):
        with pytest.raises(UsageError, match="rlaif critic check"):
            probe(changed(config, **options))


def test_what_is_asked_is_what_a_job_asks(config, tmp_path):
    """An example's questions have the keys that labelling it would give them: the check is not paid for twice."""
    from rlaif.label.examples import judge_examples

    (tmp_path / "s.yaml").write_text(GOOD)
    probe(config)
    with sqlite3.connect(config.store) as store:
        held = store.execute("SELECT COUNT(*) FROM answers").fetchone()
    records = judge_examples(config)
    assert len(records) == 8 and all(record.right for record in records)
    with sqlite3.connect(config.store) as store:
        assert store.execute("SELECT COUNT(*) FROM answers").fetchone() == held
