"""Measurements, side by side with what people would otherwise use: ``python -m benchmarks NAME``."""
