"""A package outside of rlaif: one of each thing that can come from outside. docs/extending.md shows these files."""
