import os
import pickle
from typing import ClassVar

import pytest

from rlaif.api.handle import Handle


class Counter(Handle[list[str]]):
    opened: ClassVar[list[str]] = []

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def _open(self) -> list[str]:
        self.opened.append(self.name)
        return [self.name]

    async def _give_back(self, held: list[str]) -> None:
        self.opened.remove(held[0])

    def value(self) -> str:
        async def work(held: list[str]) -> str:
            return held[0]

        return self._run(work)


def test_it_opens_once_at_the_first_call_and_gives_back():
    with Counter("a") as handle:
        assert Counter.opened == []
        assert handle.value() == handle.value() == "a"
        assert Counter.opened == ["a"]
        copy = pickle.loads(pickle.dumps(handle))
        assert copy.value() == "a" and Counter.opened == ["a", "a"]
        copy.close()
    assert Counter.opened == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_fork_opens_its_own():
    with Counter("f") as handle:
        handle.value()
        child = os.fork()
        if child == 0:
            os._exit(0 if handle.value() == "f" and Counter.opened == ["f", "f"] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
