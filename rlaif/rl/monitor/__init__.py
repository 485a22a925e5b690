"""Whether a run is still going the right way, and when to stop it."""
