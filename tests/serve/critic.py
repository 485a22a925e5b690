"""A critic for the server's tests: what it says of words, what it was asked, and a gate that holds it up."""

import asyncio
import math
from typing import ClassVar

from rlaif.engines.base import Choice, Failure, FailureReason
from rlaif.errors import RunFailed


class Words:
    """What is "good" wins. "mumble" is refused, "half" has no verdict on who is short, "boom" is a bug of the engine, "gone" a
    server that is. batches: the texts of each call. gate: what calls wait for."""

    identity = "tests.serve.critic:Words 1"
    notes = ()
    opened: ClassVar[list] = []

    def __init__(self, config):
        self.batches, self.gate = [], asyncio.Event()
        self.gate.set()
        self.closed = False
        self.opened.append(self)

    def check_choices(self, choices):
        pass

    def count_tokens(self, prompt):
        return 1

    async def choose(self, prompts, choices):
        texts = ["\n".join(message.text for message in prompt) for prompt in prompts]
        self.batches.append(texts)
        await self.gate.wait()
        if any("boom" in text for text in texts):
            raise ValueError("boom")
        if any("gone" in text for text in texts):
            raise RunFailed("no server answers any more")
        return [self._choose(text, choices) for text in texts]

    async def generate(self, prompts, sampling):
        raise AssertionError("nothing is written here")

    async def close(self):
        self.closed = True

    def _choose(self, text, choices):
        if "mumble" in text or ("half" in text and "is short" in text):
            return Failure(FailureReason.REFUSED, "said nothing")
        if len(choices) == 2:
            first, second = ("good" in text.partition(f"<response_{side}>")[2].partition("</")[0] for side in "ab")
            p = 0.9 if first and not second else 0.2 if second and not first else 0.5
            shares = [p, 1 - p]
        else:
            label = len(choices) - 1 if "good" in text.partition("<response>")[2].partition("</")[0] else len(choices) // 2
            shares = [1.0 if place == label else 0.0 for place in range(len(choices))]
        return Choice(tuple(math.log(max(share, 1e-30)) for share in shares), 1.0, "", 1)
