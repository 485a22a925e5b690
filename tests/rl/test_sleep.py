"""Engines sleep while the networks work, and only then; where vLLM cannot, it is said before anything starts."""

from types import SimpleNamespace

import pytest
import torch

from rlaif.errors import UsageError
from rlaif.rl import sleep
from rlaif.rl.sleep import asleep, sleeps


class Engine:
    def __init__(self, name, events):
        self._name, self._events = name, events

    def sleep(self):
        self._events.append(f"{self._name} sleeps")

    def wake(self):
        self._events.append(f"{self._name} wakes")


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(sleep, "processes", lambda: SimpleNamespace(device=torch.device("cuda")))
    monkeypatch.setattr(sleep, "find_spec", lambda name: True)
    monkeypatch.setattr(sleep, "_available", lambda: True)


def test_on_a_gpu_they_sleep_unless_they_sample_meanwhile(gpu, configured, monkeypatch):
    assert sleeps(configured("rloo")) and sleeps(configured("rloo", sleep="on"))
    assert not sleeps(configured("rloo", sleep="off")) and not sleeps(configured("rloo", **{"async": 1}))
    monkeypatch.setattr(sleep, "_available", lambda: False)
    assert not sleeps(configured("rloo"))
    with pytest.raises(UsageError, match="--sleep on"):
        sleeps(configured("rloo", sleep="on"))


def test_on_a_cpu_they_never_do(configured):
    assert not sleeps(configured("rloo"))
    with pytest.raises(UsageError, match=r"--sleep on: vLLM frees no memory on this device \(cpu\)"):
        sleeps(configured("rloo", sleep="on"))


def test_what_vllm_says_of_this_device_is_what_counts():
    pytest.importorskip("vllm")
    assert sleep._available() is torch.cuda.is_available()


def test_those_whose_work_fails_stay_asleep():
    events = []
    with pytest.raises(RuntimeError), asleep([Engine("critic", events)]):
        raise RuntimeError
    assert events == ["critic sleeps"]
