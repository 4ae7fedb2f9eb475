"""Clicks that a user might make, from what is there and what was found."""
