"""Running a network window by window, and blending what it says."""

from __future__ import annotations

import numpy as np

from clickseg.arrays import Values
from clickseg.engines.engine import Engine
from clickseg.errors import EngineError
from clickseg.inference.model_input import ModelInput
from clickseg.inference.windows import Window, WindowGrid, importance
from clickseg.models.spec import ModelSpec
from clickseg.progress import Progress


def run(inputs: ModelInput, engine: Engine, spec: ModelSpec, progress: Progress) -> Values:
    """Returns the blended logits of a volume.

    Args:
        inputs: Images and clicks on the model grid.
        engine: The network.
        spec: The window, its overlap, how it is weighted, and the number of output channels.
        progress: Told after each window.

    Returns:
        Logits [K, I, J, K]: at each voxel the mean over the windows that hold it, weighted by ``importance``.

    Raises:
        EngineError: The network gives infinite values or none: what is no number would be no finding.
    """
    grid, weight = WindowGrid.over(inputs.shape, spec.window), importance(spec.window)
    total = np.zeros(inputs.shape, dtype=np.float32)
    blended = np.zeros((spec.output_channels, *inputs.shape), dtype=np.float32)
    for done, window in enumerate(grid, 1):
        logits = _logits(inputs, engine, window)
        blended[(slice(None), *window.place)] += logits[(slice(None), *window.part)] * weight[window.part]
        total[window.place] += weight[window.part]
        progress(done, len(grid))
    blended /= total
    return blended


def _logits(inputs: ModelInput, engine: Engine, window: Window) -> Values:
    logits: Values = engine.infer(inputs.window(window)[np.newaxis])[0]
    if not np.isfinite(logits).all():
        raise EngineError(
            f"the network gives values that are no finite numbers in the window at voxel {list(window.start)}",
            hint="--precision f32 does not overflow",
        )
    return logits
