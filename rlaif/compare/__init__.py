"""Methods beside each other: the same start, the same prompts, the same number of responses to learn from, several seeds."""
