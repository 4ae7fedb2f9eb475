"""Which kernels run the loops over voxels: compiled ones where there is enough to do, else NumPy's."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from clickseg.cache import cache_folder
from clickseg.inference.kernels import Kernels, PlainKernels

_WORTH_COMPILING = 1 << 26
"""Additions of a logit from which on loading what is compiled takes less time than it saves."""


def choose_kernels(additions: int, cache: Path | None) -> Kernels:
    """Returns the kernels for a job; the result has the same bytes with any.

    Args:
        additions: How many logits will be added.
        cache: A folder for compiled code; where it cannot be written to, code is compiled anew.
    """
    if additions < _WORTH_COMPILING or importlib.util.find_spec("numba") is None:
        return PlainKernels()
    from clickseg.inference.compiled_kernels import CompiledKernels

    return CompiledKernels(len(os.sched_getaffinity(0)), cache_folder(cache, "numba"))
