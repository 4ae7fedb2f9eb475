"""Inference from series and clicks to a label map: preprocessing, sliding window, label assignment, postprocessing."""
