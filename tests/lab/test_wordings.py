"""Held-out wordings are never trained on, and use no word that training does not."""

from __future__ import annotations

import re

import pytest

from rlaif.lab import wordings
from rlaif.lab.gold import PRINCIPLES


def words(texts):
    return set(re.findall(r"[\w']+", " ".join(texts).lower()))


def test_every_principle_has_wordings():
    assert set(wordings.PREDICATES) == set(wordings.ADJECTIVES) == set(PRINCIPLES)


@pytest.mark.parametrize("principle", PRINCIPLES)
def test_held_out_wordings_are_new_arrangements_of_known_words(principle):
    training, heldout = wordings.texts(principle, "train"), wordings.texts(principle, "heldout")
    assert len(set(training)) >= 50 and len(set(heldout)) >= 5
    assert not set(training) & set(heldout)
    assert not set(wordings.FRAMES["train"]) & set(wordings.FRAMES["heldout"])
    everything = [text for name in PRINCIPLES for text in wordings.texts(name, "train")]
    assert words(heldout) <= words(everything)


def test_no_wording_means_two_principles():
    texts = [text for name in PRINCIPLES for split in ("train", "heldout") for text in wordings.texts(name, split)]
    assert len(set(texts)) == len(texts)
