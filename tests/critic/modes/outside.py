"""A feedback mode from outside of the package: asks which response is worse, and turns the answer round."""

from pathlib import Path

from rlaif.critic.modes.compare import Compare
from rlaif.critic.templates import Form
from rlaif.critic.verdict import Failure


class Worse(Compare):
    form = Form("worse", "tests.critic.modes.outside:WORSE", ("one", "other"), labels="two", folder=Path(__file__).parent)
    reasons = None
    settings = frozenset({"orders", "min_mass"})

    def read(self, answers, rationales, shown, how):
        verdict = super().read(answers, rationales, shown, how)
        return verdict if isinstance(verdict, Failure) else verdict.swap()


WORSE = Worse()
