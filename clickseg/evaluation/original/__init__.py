"""Runs a model by its own tool, in a process of its own, to compare its labels with those of ClickSeg."""
