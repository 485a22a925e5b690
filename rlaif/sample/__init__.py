"""Responses drawn from a policy."""
