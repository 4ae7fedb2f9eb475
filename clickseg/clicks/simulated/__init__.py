"""Simulated clicks for training and evaluation."""
