"""Labelling and revision: pipelines, and the runs that are made of them."""
