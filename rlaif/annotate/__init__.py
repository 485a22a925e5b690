"""People's answers to blind pairs of a label run: chosen, asked, saved, and turned into gold."""
