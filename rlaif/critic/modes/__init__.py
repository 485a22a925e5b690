"""The feedback modes: what is asked about a row, and how a critic's answers become a verdict. One file each."""

from rlaif.registry import Registry

MODES = Registry(
    "feedback mode",
    "--mode",
    "rlaif.modes",
    {
        "compare": "rlaif.critic.modes.compare:COMPARE",
        "score": "rlaif.critic.modes.score:SCORE",
        "rank": "rlaif.critic.modes.rank:RANK",
    },
)
"""Each is an object as ``modes.base.Mode`` says, under the name that ``--mode`` takes and that its forms give as ``mode``."""
