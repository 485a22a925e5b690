import base64
import hashlib
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.report.page import embed, sample, write_report
from tests.reference.fake_run import HOSTILE, preferences, turn, write_lines, write_run


class Page(HTMLParser):
    """What an HTML parser makes of the page: its tags, their attributes, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: list[str] = []
        self.comments: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


@pytest.fixture
def hostile_run(tmp_path: Path) -> Path:
    """A run in which every text that an outsider could have written attacks the page."""
    records = preferences(40)
    for record in records[:5]:
        record |= {name: [turn("assistant", HOSTILE)] for name in ("prompt", "chosen", "rejected")}
        record |= {"id": HOSTILE, "rationale": HOSTILE}
        record["principles"][0]["id"] = HOSTILE
    constitution = {"name": HOSTILE, "digest": HOSTILE, "description": HOSTILE}
    return write_run(tmp_path / "run", records, constitution=constitution, critic=HOSTILE, command=HOSTILE, notes=[HOSTILE])


def test_hostile_text_is_inert(hostile_run: Path, tmp_path: Path) -> None:
    page = Page(write_report(hostile_run).read_text(encoding="utf-8"))
    harmless = Page(write_report(write_run(tmp_path / "other", preferences(40))).read_text(encoding="utf-8"))
    assert page.tags["script"] == 2 and page.tags["img"] == 0
    assert set(page.tags) == set(harmless.tags)
    assert not [item for item in page.attributes if item[1].startswith("on")]
    data = json.loads(page.scripts[0])
    assert data["texts"][data["pairs"][0]["chosen"]] == [["assistant", HOSTILE]]
    assert data["pairs"][0]["rationale"] == HOSTILE
    assert "{{ 7*7 }}" in data["pairs"][0]["id"]


def test_one_file_that_asks_for_nothing_and_runs_only_its_own_script(hostile_run: Path) -> None:
    page = Page(write_report(hostile_run).read_text(encoding="utf-8"))
    assert not page.tags.keys() & {"link", "iframe", "object", "embed", "img", "base"}
    for tag, name, value in page.attributes:
        assert name != "src" and (name not in ("href", "xlink:href") or value.startswith("#")), (tag, name, value)
    policy = next(value for tag, name, value in page.attributes if tag == "meta" and value.startswith("default-src"))
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    digest = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    assert "innerHTML" not in page.scripts[1]


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_embedded_json_holds_no_markup_and_reads_back(value: Any) -> None:
    text = embed(value)
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == value


def test_a_long_run_is_sampled_and_says_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path, preferences(60))
    text = write_report(folder, max_pairs=25).read_text(encoding="utf-8")
    assert "A random sample of 25 of 60 pairs" in text
    assert len(json.loads(Page(text).scripts[0])["pairs"]) == 25
    assert "random sample" not in write_report(folder).read_text(encoding="utf-8")


@given(st.integers(0, 60), st.integers(0, 20))
def test_a_sample_keeps_order_and_repeats_nothing(n: int, most: int) -> None:
    drawn = [record["n"] for record in sample(({"n": number} for number in range(n)), most)]
    assert len(drawn) == min(n, most) and drawn == sorted(set(drawn))
    assert drawn == [record["n"] for record in sample(({"n": number} for number in range(n)), most)]


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path, preferences(30))
    assert write_report(folder).read_bytes() == write_report(folder, out=tmp_path / "sub" / "again.html").read_bytes()


def test_long_texts_are_cut_and_shared_texts_held_once(tmp_path: Path) -> None:
    records = preferences(2)
    for record in records:
        record["prompt"] = [turn("user", "x" * 50_000)]
    data = json.loads(Page(write_report(write_run(tmp_path, records)).read_text(encoding="utf-8")).scripts[0])
    assert data["pairs"][0]["prompt"] == data["pairs"][1]["prompt"]
    assert "42,000 more characters" in data["texts"][data["pairs"][0]["prompt"]][0][1]


def test_a_run_without_pairs_or_gold(tmp_path: Path) -> None:
    text = write_report(write_run(tmp_path / "empty", [])).read_text(encoding="utf-8")
    assert "There are none." in text
    records = preferences(5)
    for record in records:
        record["gold"] = []
        for entry in record["principles"]:
            entry["gap"] = None
    text = write_report(write_run(tmp_path / "bare", records)).read_text(encoding="utf-8")
    assert 'value="flips"' not in text and 'value="disagreements"' not in text


def test_missed_canaries_are_listed(tmp_path: Path) -> None:
    folder = write_run(tmp_path, preferences(5))
    assert "Canaries" not in write_report(folder).read_text(encoding="utf-8")
    said = [
        ("kind#1", 0.8, True, None),
        ("kind#2", -0.25, False, None),
        (HOSTILE, None, None, "refused"),
        ("kind#4", 0.0, False, None),
    ]
    canaries = [{"id": name, "margin": margin, "right": right, "failure": failure} for name, margin, right, failure in said]
    write_lines(folder / "canaries.jsonl", canaries)
    text = write_report(folder).read_text(encoding="utf-8")
    listed = re.findall("<tr><td>(.*?)</td><td>(.*?)</td></tr>", text[text.index("Canaries that were missed") :])
    assert [said for _, said in listed[:3]] == [
        "prefers the worse response by 0.25",
        "gave no verdict: refused",
        "is undecided",
    ]
    assert [name for name, _ in listed[:3:2]] == ["kind#2", "kind#4"]
    assert Page(text).tags["img"] == 0 and "kind#1" not in text
