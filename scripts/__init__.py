"""Developers' tools: ``python -m scripts.NAME``, and shell scripts."""
