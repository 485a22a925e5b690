"""The on-policy loop: sample, reward, advantages, update, monitor."""
