"""Checks, measures and trains on a machine with a GPU: docs/developers/gpu.md."""
