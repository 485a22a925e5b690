"""One tokenizer for the module: training it takes seconds."""

from __future__ import annotations

import pytest

from rlaif.lab import tokenizer as lab_tokenizer


@pytest.fixture(scope="session")
def tokenizer():
    return lab_tokenizer.train(lab_tokenizer.corpus())
