"""Evaluation of models with simulated clicks, by published protocols, through the same session that users have."""
