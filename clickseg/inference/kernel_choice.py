"""Which kernels run the loops over voxels: compiled ones where there is enough to do, else NumPy's."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from clickseg.core.machine import processor_count
from clickseg.inference.kernels import Kernels, PlainKernels

_WORTH_COMPILING = 1 << 27
"""Additions of a logit from which on compiling takes less time than it saves."""


class KernelChoice:
    """The kernels for one job after another; they are compiled once, for the first that is large enough."""

    def __init__(self, cache: Path | None = None) -> None:
        """Compiles nothing yet.

        Args:
            cache: A folder for compiled loops; None for none.
        """
        self._cache = cache
        self._compiled: Kernels | None = None

    def __call__(self, additions: int) -> Kernels:
        """Returns the kernels for a job; the result has the same bytes with any.

        Args:
            additions: How many logits will be added.
        """
        if additions < _WORTH_COMPILING or importlib.util.find_spec("numba") is None:
            return PlainKernels()
        if self._compiled is None:
            from clickseg.inference.compiled_kernels import CompiledKernels

            self._compiled = CompiledKernels(processor_count(), self._cache)
        return self._compiled
