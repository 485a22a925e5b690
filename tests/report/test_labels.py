import re

from hypothesis import given
from hypothesis import strategies as st

from rlaif.report import labels
from rlaif.report.labels import records, report
from tests.reference.fake_run import HOSTILE, preferences, write_lines, write_run
from tests.reference.report_page import Page


@given(st.integers(0, 60), st.integers(0, 20))
def test_a_sample_keeps_order_and_repeats_nothing(n, most):
    with_numbers = lambda path, kind, of: of(range(n))  # noqa: E731
    read, labels.read_records = labels.read_records, with_numbers
    try:
        drawn, again = [[*map(int, records(labels.Path(), n, most))] for _ in range(2)]
    finally:
        labels.read_records = read
    assert len(drawn) == min(n, most) and drawn == sorted(set(drawn)) == again


def test_a_run_without_pairs_or_gold(tmp_path):
    assert "There are none." in report(write_run(tmp_path / "empty", []), 10)
    bare = preferences(5)
    for record in bare:
        record["gold"] = []
        for entry in record["principles"]:
            entry["gap"] = None
    text = report(write_run(tmp_path / "bare", bare), 10)
    assert 'value="flips"' not in text and 'value="disagreements"' not in text


def test_missed_canaries_are_listed(tmp_path):
    folder = write_run(tmp_path, preferences(5))
    assert "Canaries" not in report(folder, 10)
    said = [
        ("kind#1", 0.8, True, None),
        ("kind#2", -0.25, False, None),
        (HOSTILE, None, None, "refused"),
        ("kind#4", 0.0, False, None),
    ]
    canaries = [{"id": name, "margin": margin, "right": right, "failure": failure} for name, margin, right, failure in said]
    write_lines(folder / "canaries.jsonl", canaries)
    text = report(folder, 10)
    listed = re.findall('<th scope="row">(.*?)</th><td>(.*?)</td></tr>', text[text.index("Canaries that were missed") :])
    assert [said for _, said in listed[:3]] == [
        "prefers the worse response by 0.25",
        "gave no verdict: refused",
        "is undecided",
    ]
    assert [name for name, _ in listed[:3:2]] == ["kind#2", "kind#4"]
    assert Page(text).tags["img"] == 0 and "kind#1" not in text


def test_failures_are_listed_and_those_left_out_are_counted(tmp_path, monkeypatch):
    folder = write_run(tmp_path, preferences(60))
    text = report(folder, 10)
    failed = len((folder / "failures.jsonl").read_text().splitlines())
    assert text.count("<td>label_mass_low</td>") == failed - 1 > 3 and "more are in failures.jsonl" not in text
    monkeypatch.setattr(labels, "_MAX_FAILURES", 3)
    assert f"{failed - 3} more are in failures.jsonl" in report(folder, 10)
