"""Means, intervals and sentences of results that are made up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlaif.compare.measure import Figure
from rlaif.compare.table import (
    Estimate,
    Result,
    Results,
    brief_table,
    cost_table,
    estimate,
    findings,
    main_table,
    markdown,
    principle_table,
    shown,
    spread,
    took,
)

NAN = float("nan")


def result(method, seed, total, **more):
    figures = {"total": Figure(total, 0.01), "principles/polite": Figure(more.pop("polite", 0.5), 0.01)}
    return Result(method, seed, figures, {"texts": 10.0, "cpu_seconds": 2.0, "peak_bytes": 2.0**20}, **more)


@pytest.fixture
def results():
    totals = {"base": (0.5, 0.6, 0.55), "rlaif": (0.7, 0.8, 0.76), "rlhf-noisy": (0.65, 0.75, 0.72)}
    found = [result(name, seed, value) for name, values in totals.items() for seed, value in enumerate(values)]
    return Results(found)


def test_intervals_cover_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        found = spread(rng.normal(0.7, 0.1, size=3).tolist())
        covered += found.mean - found.half <= 0.7 <= found.mean + found.half
    assert 0.93 <= covered / 2000 <= 0.97


def test_one_seed_has_the_interval_of_its_prompts_and_none_of_seeds():
    assert estimate([Figure(0.5, 0.1)]) == Estimate(0.5, pytest.approx(0.196))
    assert math.isnan(spread([0.5]).half) and math.isnan(spread([]).mean)


def test_differences_are_paired_by_seed(results):
    found = results.difference("rlaif", "base")
    assert found.mean == pytest.approx(0.61 / 3)
    assert found.half == pytest.approx(4.30265 * np.std([0.2, 0.2, 0.21], ddof=1) / math.sqrt(3), rel=1e-4)
    one = Results([each for each in results.found if (each.method, each.seed) != ("base", 2)])
    assert one.difference("rlaif", "base").mean == pytest.approx(0.2)


def test_tables_have_a_row_for_each_method_in_their_order(results):
    for table in (main_table(results), brief_table(results), principle_table(results), cost_table(results)):
        assert [line[0] for line in table[1:]] == ["base", "rlhf-noisy", "rlaif"]
        assert {len(line) for line in table} == {len(table[0])}
    assert principle_table(results)[0] == ["", "polite"]
    assert main_table(results)[1][1:3] == ["0.550 ± 0.124", "–"]
    assert cost_table(results)[1][-1] == "1"


def test_what_is_said_follows_from_the_figures(results):
    said = " ".join(findings(results))
    assert "more than the interval: rlhf-noisy, rlaif (2 of 2)" in said
    assert "Highest total: rlaif, +0.203 ± 0.014" in said
    assert "rlaif less rlhf-noisy, seed by seed: total +0.047" in said
    assert "below base on a principle: none" in said
    fallen = Results([*results.found, *(result("dpo", seed, 0.9, polite=0.4) for seed in range(3))])
    assert "dpo polite (-0.100 ± 0.000)" in " ".join(findings(fallen))


def test_a_method_that_failed_is_named_and_has_no_row(results):
    failed = Results([*results.found, Result("dpo", 0, error="the loss is NaN")])
    assert "dpo" not in failed.methods
    assert "dpo, seed 0: failed: the loss is NaN" in findings(failed)


def test_steps_add_up_and_the_largest_peak_counts():
    steps = [{"seconds": 1.0, "calls": 5, "peak_bytes": 7}, {"seconds": 2.5, "known_labels": 3, "peak_bytes": 4}]
    found = took(steps)
    assert (found["seconds"], found["calls"], found["known_labels"], found["peak_bytes"]) == (3.5, 5, 3, 7)
    assert took([])["seconds"] == 0


def test_what_is_not_known_is_a_dash():
    assert (
        shown(Estimate(NAN, NAN)) == "–"
        and shown(Estimate(0.5, NAN)) == "0.500"
        and shown(Estimate(12.34, 1.0), "kl") == "12.3 ± 1.0"
    )


def test_json_has_no_nan():
    record = Result("dpo", 0, {"total": Figure(0.5, NAN)}).as_json()
    assert record["figures"]["total"] == {"mean": 0.5, "error": None}


def test_a_cell_cannot_end_a_column():
    assert markdown([["a|b"], ["c"]]) == "| a&#124;b |\n| --- |\n| c |"
