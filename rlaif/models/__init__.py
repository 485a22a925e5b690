"""Models as training uses them: loading, saving, log-probabilities."""
