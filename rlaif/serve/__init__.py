"""``rlaif serve``: the critic behind HTTP, for several clients at once."""
