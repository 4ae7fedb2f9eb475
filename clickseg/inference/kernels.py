"""The loops over voxels: their interface, their NumPy version, and the choice between NumPy and Numba.

``compiled`` runs the same loops with Numba if there is enough work: the same float32 operations in the same order, so
the results are equal byte for byte.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from clickseg.core.arrays import Box, Float32Array, LabelArray, Triple
from clickseg.core.machine import processor_count
from clickseg.inference.linear import TrilinearWeights, lerp

_MIN_ADDITION_COUNT_TO_COMPILE = 1 << 27
"""The number of additions of a logit from which compiling saves more time than it needs."""

_MAX_INTERPOLATED_BYTES = 8 << 20
"""The logits that are interpolated at once. A GPU needs as long to start a kernel as to interpolate one small plane."""

_FLOAT_BYTES = 4


class Kernels(Protocol):
    """The loops over voxels."""

    def add_window(
        self,
        sums: Float32Array,
        weight_sums: Float32Array,
        logits: Float32Array,
        weights: Float32Array,
        position: Triple,
        part: Box,
    ) -> None:
        """Adds the weighted logits of a window to their sums, and its weights to the sums of weights.

        Args:
            sums: Sums of weighted logits [C, I, J, K]; changed.
            weight_sums: Sums of weights [I, J, K]; changed.
            logits: The logits of one window [C, I, J, K].
            weights: The weight of each voxel of a window [I, J, K].
            position: The first voxel of the part in ``sums`` [I, J, K].
            part: The part of the window that is added, in coordinates of the window.
        """
        ...

    def divide(
        self, sums: Float32Array, weight_sums: Float32Array, axis: int, first: int, planes: Float32Array
    ) -> bool:
        """Writes planes of weighted means, and resets the sums of these planes to 0.

        Args:
            sums: Sums of weighted logits [C, I, J, K]; changed.
            weight_sums: Sums of weights [I, J, K]; changed.
            axis: The axis perpendicular to the planes.
            first: The first plane along that axis.
            planes: The means of N planes of P x Q voxels [N, C, P, Q]; overwritten.

        Returns:
            Whether all means are finite numbers.
        """
        ...

    def argmax(
        self,
        highest: Float32Array,
        labels: LabelArray,
        planes: Float32Array,
        interpolation: TrilinearWeights,
        class_numbers: LabelArray,
    ) -> None:
        """Assigns the class of the channel with the highest logit to each voxel of source planes; ties: the first.

        Args:
            highest: The highest logit of the channels before [N, R, S]; changed.
            labels: The class number of that channel [N, R, S]; changed.
            planes: Logits on the model grid [M, C, P, Q].
            interpolation: The weights of the N x R x S source voxels between the voxels of ``planes``.
            class_numbers: The class number of each channel.
        """
        ...

    def threshold(
        self, bits: LabelArray, planes: Float32Array, interpolation: TrilinearWeights, first_bit: int
    ) -> None:
        """Sets, in each voxel of source planes, the bit of each channel whose logit is above 0.

        Args:
            bits: The bits of the channels [N, R, S, bytes]: bit b is bit b % 8 of byte b // 8; changed.
            planes: Logits on the model grid [M, C, P, Q].
            interpolation: The weights of the N x R x S source voxels between the voxels of ``planes``.
            first_bit: The number of the bit of the first channel.
        """
        ...

    def overwrite(
        self, labels: LabelArray, planes: Float32Array, interpolation: TrilinearWeights, class_numbers: LabelArray
    ) -> None:
        """Assigns the class of the last channel whose logit is above 0 to each voxel of source planes.

        Args:
            labels: Class numbers [N, R, S]; changed where a logit is above 0.
            planes: Logits on the model grid [M, C, P, Q].
            interpolation: The weights of the N x R x S source voxels between the voxels of ``planes``.
            class_numbers: The class number of each channel.
        """
        ...


@dataclass(frozen=True, slots=True)
class NumpyKernels:
    """The loops in NumPy, without compilation, which is slower; on a GPU the same calls run in CuPy."""

    def add_window(
        self,
        sums: Float32Array,
        weight_sums: Float32Array,
        logits: Float32Array,
        weights: Float32Array,
        position: Triple,
        part: Box,
    ) -> None:
        """See ``Kernels``."""
        target = tuple(slice(start, start + axis.stop - axis.start) for start, axis in zip(position, part, strict=True))
        weight_sums[target] += weights[part]
        sums[(slice(None), *target)] += logits[(slice(None), *part)] * weights[part]

    def divide(
        self, sums: Float32Array, weight_sums: Float32Array, axis: int, first: int, planes: Float32Array
    ) -> bool:
        """See ``Kernels``."""
        block = slice(first, first + len(planes))
        block_sums = np.moveaxis(sums, 1 + axis, 0)[block]
        block_weights = np.moveaxis(weight_sums, axis, 0)[block, None]
        np.multiply(block_sums, np.float32(1) / block_weights, out=planes)
        block_sums[...] = 0
        block_weights[...] = 0
        return bool(np.isfinite(planes).all())

    def argmax(
        self,
        highest: Float32Array,
        labels: LabelArray,
        planes: Float32Array,
        interpolation: TrilinearWeights,
        class_numbers: LabelArray,
    ) -> None:
        """See ``Kernels``."""
        for block, logits in _interpolated_blocks(planes, interpolation):
            channel, maximum, previous = logits.argmax(axis=1), logits.max(axis=1), highest[block]
            labels[block] = np.where(maximum > previous, class_numbers[channel], labels[block])
            np.maximum(previous, maximum, out=previous)

    def threshold(
        self, bits: LabelArray, planes: Float32Array, interpolation: TrilinearWeights, first_bit: int
    ) -> None:
        """See ``Kernels``."""
        for block, logits in _interpolated_blocks(planes, interpolation):
            for bit, values in enumerate(np.moveaxis(logits, 1, 0), first_bit):
                bits[block, ..., bit // 8] |= (values > 0).astype(np.uint8) << np.uint8(bit % 8)

    def overwrite(
        self, labels: LabelArray, planes: Float32Array, interpolation: TrilinearWeights, class_numbers: LabelArray
    ) -> None:
        """See ``Kernels``."""
        for block, logits in _interpolated_blocks(planes, interpolation):
            for number, values in zip(class_numbers, np.moveaxis(logits, 1, 0), strict=True):
                labels[block] = np.where(values > 0, number, labels[block])


def _interpolated_blocks(planes: Float32Array, interpolation: TrilinearWeights) -> Iterator[tuple[slice, Float32Array]]:
    """Yields blocks of source planes and their logits [N, C, R, S].

    Logits are interpolated across the planes [M, C, P, Q], then along rows and columns.
    """
    across, rows, columns = interpolation
    plane_bytes = planes.shape[1] * len(rows.lower) * len(columns.lower) * _FLOAT_BYTES
    step = max(1, _MAX_INTERPOLATED_BYTES // plane_bytes)
    for first in range(0, len(across.lower), step):
        block = slice(first, first + step)
        weight = across.weight[block].reshape(-1, 1, 1, 1)
        logits = lerp(planes[across.lower[block]], planes[across.upper[block]], weight)
        logits = lerp(logits[:, :, rows.lower], logits[:, :, rows.upper], rows.weight[:, np.newaxis])
        yield block, lerp(logits[..., columns.lower], logits[..., columns.upper], columns.weight)


class KernelChoice:
    """Chooses the kernels for each job; they are compiled once, for the first job that is large enough."""

    def __init__(self, cache: Path | None = None) -> None:
        """Compiles nothing yet.

        Args:
            cache: The folder for compiled loops; None for no cache.
        """
        self._cache = cache
        self._compiled: Kernels | None = None

    def __call__(self, addition_count: int) -> Kernels:
        """Returns the kernels for a job; the result has the same bytes with all kernels.

        Args:
            addition_count: The number of logits that will be added.
        """
        if addition_count < _MIN_ADDITION_COUNT_TO_COMPILE or importlib.util.find_spec("numba") is None:
            return NumpyKernels()
        if self._compiled is None:
            from clickseg.inference.compiled import CompiledKernels

            self._compiled = CompiledKernels(processor_count(), self._cache)
        return self._compiled
