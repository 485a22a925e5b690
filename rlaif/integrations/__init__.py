"""Our critic as the reward of other trainers (docs/integrations.md): one ``ConstitutionReward``, a thin file per trainer."""
