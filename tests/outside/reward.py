"""A reward source: short responses are good; an empty one has no reward."""

from rlaif.rl.rewards.tally import column, tally


def brevity(config, context):
    """config: a RewardConfig; context: what it may need besides. Returns the source, and its facts for run.json."""

    async def rewards(rollouts):
        values = [1 / len(rollout.text.split()) if rollout.text.strip() else None for rollout in rollouts]
        words = [float(len(rollout.text.split())) for rollout in rollouts]
        return tally(column(values), {"words": column(words)}, ["empty"] * len(rollouts))

    return rewards, {"version": 1}
