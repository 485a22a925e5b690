"""An engine: a critic without a model, which likes the longer response."""

import math

from rlaif.engines.base import Choice, Failure, FailureReason


class Longer:
    identity = "outside.engine:Longer 1"  # change it with the answers: verdicts are kept by it
    notes = ()

    def __init__(self, config):
        """config: an EngineConfig; config.model is what --critic says."""

    def check_choices(self, choices):
        """Raise UsageError for labels that this engine cannot tell apart."""

    def count_tokens(self, prompt):
        return sum(len(message.text.split()) for message in prompt)

    async def choose(self, prompts, choices):
        return [self._compare(prompt) for prompt in prompts]

    async def generate(self, prompts, sampling):
        return [Failure(FailureReason.ENGINE_ERROR, "this engine writes no text") for _ in prompts]

    async def close(self):
        pass

    def _compare(self, prompt):
        texts = [segment.text for message in prompt for segment in message.segments if not segment.trusted]
        first, second = map(len, texts[-2:])  # responses come last of what is not trusted
        p = (first + 1) / (first + second + 2)
        return Choice((math.log(p), math.log(1 - p)), mass=1.0, raw="AB"[p < 0.5], prompt_tokens=self.count_tokens(prompt))
