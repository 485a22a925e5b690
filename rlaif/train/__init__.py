"""Training from a dataset: pure losses, rows and tokens, and one loop on ``transformers.Trainer``."""
