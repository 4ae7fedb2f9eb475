"""Runs a model by MONAI itself, in a process of its own, to compare its labels with those of ClickSeg."""
