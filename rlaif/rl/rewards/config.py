"""Which reward the user asked for. Imports nothing heavy, so that the command line can read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rlaif.critic.config import CriticConfig
from rlaif.settings import nested, setting
from rlaif.train.config import Prediction

FeedbackBy = Literal["score", "group", "reference"]
PANEL = "Reward"


@dataclass(frozen=True, kw_only=True)
class RewardConfig:
    """reward: ``critic``, ``model``, ``verifier``, ``verdict`` (the policy is a critic), ``gold`` (the lab's), ``none`` (0 for
        all), ``module:Name`` from outside, or the path of a mix file (``.yaml``).

    feedback: the critic scores each response (``score``), compares it with other samples of its prompt (``group``) or with the
        reference policy's answer to it (``reference``).
    opponents: with ``group``, how many other samples each is compared with at least; None for all.
    reward_model: one or more folders, comma-separated. prediction: how members, of one folder or several, become one score;
        penalty: λ of ``uncertainty``, .1 for PPO in Coste et al. 2023 (arXiv 2310.02743).
    verifier: ``FILE.py:function`` or ``package.module:function``. options: its keyword arguments.
    """

    reward: str = setting(
        "critic",
        "critic, model, verifier, verdict, gold (the lab's), none, module:Name, or a mix's .yaml.",
        panel=PANEL,
        path=True,
    )
    feedback: FeedbackBy = setting(
        "score", "score each response, compare within the group, or with the reference policy's answer.", panel=PANEL
    )
    opponents: int | None = setting(
        None, "group: how many other samples each is compared with; all of them by default.", panel=PANEL, least=1
    )
    reward_model: str | None = setting(None, "model: one or more folders, comma-separated.", panel=PANEL, path=True)
    prediction: Prediction = setting("mean", "model: how an ensemble's members become one score.", panel=PANEL)
    penalty: float = setting(0.1, "model, uncertainty: times the members' variance.", panel=PANEL, least=0)
    verifier: str | None = setting(None, "verifier: FILE.py:function, or rlaif.rl.rewards.checks:NAME.", panel=PANEL, path=True)
    options: tuple[tuple[str, str | float | bool], ...] = setting((), hidden=True)
    critic: CriticConfig = nested(CriticConfig, without=("mode",))
