"""Measurements, with comparisons to other tools: ``python -m benchmarks NAME``."""
