"""Whether series fit into the memory of a run, as far as headers tell: said before anything is read or run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from clickseg.batch.selection import Inputs
from clickseg.errors import MemoryLimitError
from clickseg.memory import Memory

_VALUE_BYTES, _LABEL_BYTES = 4, 1


def too_large(inputs: Sequence[Inputs], memory: Memory) -> list[MemoryLimitError | None]:
    """Returns, for each run, why its volumes and label map do not fit into memory; None where they do.

    Whatever else a run takes comes on top: ``StitchChoice`` knows more once there is a network.

    Raises:
        MemoryLimitError: None fits.
    """
    reasons = [_reason(each, memory) for each in inputs]
    if reasons and all(reasons):
        raise next(reason for reason in reasons if reason)
    return reasons


def _reason(inputs: Inputs, memory: Memory) -> MemoryLimitError | None:
    shapes = [series.stack.geometry.spatial_shape for series in inputs]
    needed = sum(math.prod(shape) for shape in shapes) * _VALUE_BYTES + math.prod(shapes[0]) * _LABEL_BYTES
    what = " and ".join(" x ".join(str(count) for count in shape) for shape in shapes)
    try:
        memory.check(needed, f"{what} voxels")
    except MemoryLimitError as error:
        return error
    return None
