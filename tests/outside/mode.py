"""A feedback mode: how probable the scale's highest label is, in place of the expected label."""

from dataclasses import replace

from rlaif.critic.modes.score import ScoreMode
from rlaif.critic.verdict import Failure


class Highest(ScoreMode):  # what is asked about a row stays; the prompt is prompts/score.yaml
    form = replace(ScoreMode.form, mode="tests.outside.mode:HIGHEST")

    def read(self, answers, rationales, shown, how):
        verdict = super().read(answers, rationales, shown, how)
        return verdict if isinstance(verdict, Failure) else replace(verdict, score=2 * verdict.distribution[-1] - 1)


HIGHEST = Highest()
