"""From a volume and clicks to a label map: model grid, guidance, sliding window, classes, postprocessing."""
