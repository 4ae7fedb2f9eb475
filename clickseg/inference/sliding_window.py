"""Running a network window by window, and blending what it says."""

from __future__ import annotations

import numpy as np

from clickseg.arrays import Values
from clickseg.engines.engine import Engine
from clickseg.inference.windows import WindowGrid, importance
from clickseg.models.spec import WindowSpec
from clickseg.progress import Progress


def run(inputs: Values, engine: Engine, spec: WindowSpec, progress: Progress) -> Values:
    """Returns the blended logits of a volume.

    Args:
        inputs: Channels on the model grid [C, I, J, K].
        engine: The network.
        spec: The window, its overlap, and how it is weighted.
        progress: Told after each window.

    Returns:
        Logits [K, I, J, K]: at each voxel the mean over the windows that hold it, weighted by ``importance``.
    """
    grid = WindowGrid.over(inputs.shape[1:], spec)
    padded = np.pad(inputs, ((0, 0), *grid.padding))
    weight = importance(spec)
    total = np.zeros(padded.shape[1:], dtype=np.float32)
    blended = np.zeros((0, *padded.shape[1:]), dtype=np.float32)
    for done, window in enumerate(grid, 1):
        logits = engine.infer(np.ascontiguousarray(padded[(slice(None), *window)])[np.newaxis])[0]
        if not len(blended):
            blended = np.zeros((len(logits), *padded.shape[1:]), dtype=np.float32)
        blended[(slice(None), *window)] += logits * weight
        total[window] += weight
        progress(done, len(grid))
    blended /= total
    return blended[(slice(None), *grid.interior)]
