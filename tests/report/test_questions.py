"""What the page says that the critic read and answered, against what a scripted critic was really given."""

import json

import pytest

from rlaif.critic.store import VerdictStore
from rlaif.data.records import PreferenceRecord, read_records
from rlaif.engines.scripted import ScriptedEngine
from rlaif.report.page import write_report
from rlaif.report.questions import ORDERS, milli, questions_of
from tests.reference.report_page import Page

CONSTITUTION = """\
name: t
version: 1
principles:
  - {id: kind, text: Kind., examples: [{prompt: Q1, better: good, worse: bad}, {prompt: Q2, better: good, worse: bad}]}
  - {id: short, text: Short.}
"""
ROWS = [
    {"prompt": "Q1", "responses": ["first </response_a> {{ principle }}", "second"]},
    {
        "prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "</conversation>Q2"}],
        "responses": ["a", "b", "a"],
    },
]


@pytest.fixture
def label(rlaif, tmp_path, monkeypatch):
    """Label by a scripted critic; returns the prompts that it read, and the run's folder."""
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    read = set()
    choose = ScriptedEngine.choose

    async def watched(self, prompts, choices):
        read.update(tuple((message.role, message.text) for message in prompt) for prompt in prompts)
        return await choose(self, prompts, choices)

    monkeypatch.setattr(ScriptedEngine, "choose", watched)

    def call(*flags):
        labels = "'2': 0.7, '8': 0.2" if "score" in flags else "A: 0.7, B: 0.2"
        (tmp_path / "s.yaml").write_text(f"rules: [{{choose: {{{labels}}}, generate: Because.}}]")
        given = ["--constitution", "c.yaml", "--critic", "script:s.yaml", "--store", "v.sqlite", "--out", "run"]
        code, _, error = rlaif("label", "rows.jsonl", *given, *flags)
        assert code == 0, error
        return read, tmp_path / "run"

    return call


def prompts_of(page):
    """Every prompt as the page's script puts it together."""
    blocks, about = page.blocks, page.blocks["pairs"]
    found = []
    for pair in range(about["n"]):
        for verdict in range(blocks["start"][pair], blocks["start"][pair + 1]):
            for ask in range(blocks["ask_start"][verdict], blocks["ask_start"][verdict + 1]):
                order = about["orders"][blocks["ask_order"][ask]]
                sides = [(name, page.text(blocks[name][pair])) for name in ("chosen", "rejected")]
                slots = [fenced(page.text(blocks["prompt"][pair]), False), *(fenced(sides[side][1], True) for side in order)]
                wrote = blocks["ask_wrote"][ask]
                slots += [""] * (3 - len(slots)) + [page.text(wrote - 1)[0][0][1] if wrote else ""]
                parts = about["prompts"][blocks["ask_prompt"][ask]]
                found.append(
                    tuple((role, "".join(slots[p] if isinstance(p, int) else p for p in text)) for role, text in parts)
                )
    return found


def fenced(entry, response):
    if len(entry) > 1 and "fenced" in entry[1]:
        return entry[1]["fenced"]
    (turns,) = entry[:1]
    if response and len(turns) == 1:
        return turns[0][1]
    return "\n".join(f"<{role}>\n{content}\n</{role}>" for role, content in turns)


@pytest.mark.parametrize("flags", [(), ("--orders", "ba"), ("--mode", "score"), ("--shots", "1"), ("--reasons",)])
def test_the_page_shows_the_very_prompts_that_the_critic_read(label, flags):
    read, folder = label(*flags)
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert read and set(prompts_of(page)) == read
    assert page.blocks["pairs"]["untold"] == ""


def test_log_probabilities_are_those_of_the_store(label):
    _, folder = label()
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert set(page.blocks["ask_logprobs"]) == {milli(-0.35667), milli(-1.60944)} == {-357, -1609}
    assert {page.blocks["pairs"]["said"][said] for said in page.blocks["ask_said"]} == {"A"}


def test_each_critic_of_a_jury_is_told(label, tmp_path):
    (tmp_path / "t.yaml").write_text("rules: [{choose: {A: 0.5, B: 0.5}}]")
    _, folder = label("--critic", "script:t.yaml")
    blocks = Page((folder / "report.html").read_text(encoding="utf-8")).blocks
    by_critic = {critic: blocks["ask_logprobs"][2 * at] for at, critic in enumerate(blocks["ask_critic"])}
    assert by_critic == {0: -357, 1: -693} and blocks["pairs"]["critics"] == 2


def test_without_the_store_the_prompts_are_there_and_the_page_says_why(label, tmp_path):
    read, folder = label()
    for path in tmp_path.glob("v.sqlite*"):
        path.unlink()
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert set(prompts_of(page)) == read and "is not here" in page.blocks["pairs"]["untold"]
    assert set(page.blocks["ask_logprobs"]) == {-32768} and not (tmp_path / "v.sqlite").exists()


def test_a_store_that_cannot_be_read_is_told(label, tmp_path):
    _, folder = label()
    for path in tmp_path.glob("v.sqlite*"):
        path.unlink()
    (tmp_path / "v.sqlite").write_text("no database, and long enough to be looked at as one " * 20)
    assert "cannot be read" in Page(write_report(folder).read_text(encoding="utf-8")).blocks["pairs"]["untold"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"template": {"digest": "0"}}, "has been edited"),
        ({"kind": "revise"}, "not a run of rlaif label"),
        ({"constitution": {"name": "t"}}, "cannot be told"),
    ],
)
def test_what_cannot_be_told_is_not_guessed(label, change, why):
    _, folder = label()
    run = json.loads((folder / "run.json").read_text())
    records = list(read_records(folder / "preferences.jsonl", PreferenceRecord))
    with questions_of(folder, {**run, **change}) as questions:
        assert why in questions.why and list(questions.asked(records)) == [
            [[] for _ in record.principles] for record in records
        ]


def test_nothing_is_asked_and_nothing_written(label, tmp_path):
    _, folder = label()
    before = (tmp_path / "v.sqlite").read_bytes()
    with VerdictStore(tmp_path / "v.sqlite"):
        write_report(folder)
    assert (tmp_path / "v.sqlite").read_bytes() == before


@pytest.mark.parametrize(("logprob", "number"), [(None, -32768), (float("-inf"), -32767), (-40.0, -32767), (-0.0014, -1)])
def test_a_log_probability_in_sixteen_bits(logprob, number):
    assert milli(logprob) == number


def test_the_orders_are_all_ways_to_show_a_pair():
    assert sorted(ORDERS) == [(0,), (0, 1), (1,), (1, 0)]
