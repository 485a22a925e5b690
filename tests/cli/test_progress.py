"""The progress bar at the width of a plain terminal."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.cli.console import Console
from rlaif.cli.progress import ProgressBar, line_of

ONLINE = {"reward": 0.51234, "kl": 0.0123, "length": 45.62, "heldout_reward": 0.61, "failed": 0.0}


@pytest.fixture
def shown():
    """The last state of a bar on a terminal of a width."""

    def call(width, name, total, done, figures):
        text = io.StringIO()
        console = Console(file=text, width=width, force_terminal=True, color_system=None, legacy_windows=False)
        with ProgressBar(console, "opening", tuple(figures)) as bar:
            bar.stage(name, total, 0)
            bar.update(done, figures)
        drawn = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text.getvalue())
        return [line for line in drawn.replace("\r", "\n").splitlines() if line.strip()][-1].rstrip()

    return call


@pytest.mark.parametrize(("name", "total"), [("ppo", 30), ("ppo", 2000), ("reinforce", 99999), ("2/3 rloo", 500)])
def test_at_80_columns_bar_steps_time_and_the_first_three_figures_stay(shown, name, total):
    line = shown(80, name, total, total // 2, ONLINE)
    assert len(line) <= 80 and "…" not in line
    assert line.startswith(name) and "━" in line and f"{total // 2}/{total}" in line and "-:--" in line
    assert "reward 0.512 · kl 0.0123 · length 45.6" in line


def test_a_wide_terminal_shows_every_figure(shown):
    line = shown(200, "ppo", 30, 3, ONLINE)
    assert "heldout reward 0.61 · failed 0" in line


def test_a_narrow_terminal_loses_figures_and_nothing_else(shown):
    line = shown(40, "ppo", 30, 3, ONLINE)
    assert "3/30" in line and "length" not in line and len(line) <= 40


@given(
    st.dictionaries(st.text("abc_", min_size=1, max_size=8), st.floats(-1e6, 1e6) | st.integers(0, 10**9)), st.integers(0, 90)
)
def test_figures_are_cut_between_and_never_within(figures, room):
    line = line_of(figures, room)
    whole = [line_of({name: value}, 1000) for name, value in figures.items()]
    parts = line.split(" · ") if line else []
    assert len(line) <= room and parts == whole[: len(parts)]
    if len(parts) < len(whole):
        assert len(" · ".join(whole[: len(parts) + 1])) > room
