"""Where rewards come from: a critic, reward models, a user's own function, or a mix of these."""
