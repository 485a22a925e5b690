"""The arithmetic of on-policy methods, as pure functions."""
