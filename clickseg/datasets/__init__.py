"""Labelled cases with ground truth, read from common dataset formats; the phantom study."""
