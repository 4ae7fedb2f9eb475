"""How many windows a GPU is given at once."""

from __future__ import annotations

import math

from clickseg.models.spec import ModelSpec

_VOXELS = 128**3
"""What occupies a GPU, and fits into the memory of a small one: a window of 128 x 128 x 128."""

_MOST = 4
"""Short batches are filled up: with more, much of what is run in small layers of windows would be for nothing."""


def windows_at_once(spec: ModelSpec) -> int:
    """Returns the batch for a GPU: a power of two, by the window alone.

    It does not depend on how much memory is free, since another batch changes the logits in their last bits.
    """
    fitting = _VOXELS // math.prod(spec.window.roi)
    return 1 << min(_MOST, max(fitting, 1)).bit_length() - 1
