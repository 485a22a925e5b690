"""A label run whose pairs people are asked about."""

import pytest

from rlaif.annotate.config import AnnotateConfig
from rlaif.annotate.run import open_session
from rlaif.settings import configure
from tests.reference.fake_run import HOSTILE, PRINCIPLES, preferences, write_run

CONSTITUTION = {"name": "fake", "principles": [{"id": name, "text": f"It is {name}. {HOSTILE}"} for name in PRINCIPLES]}


@pytest.fixture
def run(tmp_path):
    """Twelve pairs, of which the first two are hostile."""
    records = preferences(12)
    for record in records[:2]:
        record["chosen"][0]["content"] += HOSTILE
        record["prompt"][0]["content"] += HOSTILE
    return write_run(tmp_path / "run", records, constitution=CONSTITUTION)


@pytest.fixture
def session(run):
    """Opens a session. settings: of ``AnnotateConfig``."""
    return lambda **settings: open_session(configure(AnnotateConfig, run=run, **settings))
