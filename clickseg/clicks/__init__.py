"""Clicks: what a user pointed at, in patient millimetres, from every file that a tool writes."""
