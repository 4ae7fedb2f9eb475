"""The loops of ``kernels`` as Numba compiles them: without dataclasses, so they have many plain arguments.

Each loop runs over the lines from ``first`` to ``stop``, so that several threads share the work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import float32, int64, uint8, uint16
from numba.extending import register_jitable

from clickseg.core.interruption import defer_interruption
from clickseg.inference.linear import LinearWeights

_EXPONENT = np.int32(0x7F800000)
"""The exponent of a float32; all of its bits are set if the value is not a finite number (IEEE 754)."""


class Loops(NamedTuple):
    """Compiled loops; all of them release the global interpreter lock."""

    add_window: Callable[..., None]
    add_weights: Callable[..., None]
    divide_planes: Callable[..., bool]
    divide_rows: Callable[..., bool]
    argmax: Callable[..., None]
    threshold: Callable[..., None]
    overwrite: Callable[..., None]


def compile_loops(*, use_cache: bool) -> Loops:
    """Compiles all loops, only for the types that ``CompiledKernels`` passes.

    Args:
        use_cache: Whether Numba reads compiled loops from its cache folder, and writes them to it.
    """
    axis_weights = numba.typeof(LinearWeights(np.zeros(1, np.intp), np.zeros(1, np.intp), np.zeros(1, np.float32)))
    triple, lines, interpolation = numba.types.UniTuple(int64, 3), (int64, int64), (axis_weights,) * 3
    volume, volumes = float32[:, :, ::1], float32[:, :, :, ::1]
    strided, strided_volumes = float32[:, :, :], float32[:, :, :, :]

    def compile_loop(function: Callable[..., Any], *types: tuple[Any, ...]) -> Callable[..., Any]:
        with defer_interruption():  # LLVM calls back into Python
            compile_types = numba.njit(list(types), nogil=True, error_model="numpy", cache=use_cache)
            loop: Callable[..., Any] = compile_types(function)
        return loop

    return Loops(
        add_window=compile_loop(_add_window, (volumes, volumes, volume, triple, triple, triple, *lines)),
        add_weights=compile_loop(_add_weights, (volume, volume, triple, triple, triple, *lines)),
        divide_planes=compile_loop(_divide_planes, (strided_volumes, strided, volumes, *lines)),
        divide_rows=compile_loop(_divide_rows, (volumes, strided, volumes, int64, *lines)),
        argmax=compile_loop(
            _argmax,
            *(
                (volume, numbers[:, :, ::1], volumes, *interpolation, numbers[::1], *lines)
                for numbers in (uint8, uint16)
            ),
        ),
        threshold=compile_loop(_threshold, (uint8[:, :, :, ::1], volumes, *interpolation, int64, *lines)),
        overwrite=compile_loop(
            _overwrite,
            *((numbers[:, :, ::1], volumes, *interpolation, numbers[::1], *lines) for numbers in (uint8, uint16)),
        ),
    )


def _add_window(sums, logits, weights, position, origin, size, first, stop):
    for line in range(first, stop):
        c, i = line // size[0], line % size[0]
        for j in range(size[1]):
            row = sums[c, position[0] + i, position[1] + j, position[2] : position[2] + size[2]]
            values = logits[c, origin[0] + i, origin[1] + j, origin[2] : origin[2] + size[2]]
            factors = weights[origin[0] + i, origin[1] + j, origin[2] : origin[2] + size[2]]
            for k in range(size[2]):
                row[k] += values[k] * factors[k]


def _add_weights(weight_sums, weights, position, origin, size, first, stop):
    for i in range(first, stop):
        for j in range(size[1]):
            row = weight_sums[position[0] + i, position[1] + j, position[2] : position[2] + size[2]]
            factors = weights[origin[0] + i, origin[1] + j, origin[2] : origin[2] + size[2]]
            for k in range(size[2]):
                row[k] += factors[k]


def _divide_planes(sums, inverse, planes, first, stop):
    """Writes means if the planes are not across the last axis; sums [N, C, P, Q]."""
    count, _, rows, columns = planes.shape
    is_finite = True
    for line in range(first, stop):
        c, p = line // rows, line % rows
        for n in range(count):
            row, factors, means = sums[n, c, p], inverse[n, p], planes[n, c, p]
            for q in range(columns):
                means[q] = row[q] * factors[q]
                row[q] = 0
            is_finite &= _all_finite(means)
    return is_finite


def _divide_rows(sums, inverse, planes, first_plane, first, stop):
    """Writes means if the planes are across the last axis; sums [C, P, Q, K]."""
    count, _, rows, columns = planes.shape
    transposed = np.empty((columns, count), np.float32)  # in the processor's cache: written by rows, read by columns
    is_finite = True
    for line in range(first, stop):
        c, p = line // rows, line % rows
        for q in range(columns):
            row, copy = sums[c, p, q, first_plane : first_plane + count], transposed[q]
            for n in range(count):
                copy[n] = row[n]
            for n in range(count):
                row[n] = 0
        for n in range(count):
            factors, means = inverse[n, p], planes[n, c, p]
            for q in range(columns):
                means[q] = transposed[q, n] * factors[q]
            is_finite &= _all_finite(means)
    return is_finite


@register_jitable
def _all_finite(values):
    bits = values.view(np.int32)
    is_finite = True
    for q in range(len(bits)):
        is_finite &= (bits[q] & _EXPONENT) != _EXPONENT
    return is_finite


def _argmax(highest, labels, planes, across, rows, columns, numbers, first, stop):
    buffered, buffer, row = _row_buffers(planes)
    lower, upper, weights = columns
    for line in range(first, stop):
        n, r = line // len(rows[0]), line % len(rows[0])
        _interpolate_row(buffered, buffer, row, planes, across, n, rows, r)
        maxima, labels_row = highest[n, r], labels[n, r]
        for c in range(len(row)):
            values, number = row[c], numbers[c]
            for s in range(len(lower)):
                value = _lerp(values[lower[s]], values[upper[s]], weights[s])
                if value > maxima[s]:
                    maxima[s] = value
                    labels_row[s] = number


def _threshold(bits, planes, across, rows, columns, first_bit, first, stop):
    buffered, buffer, row = _row_buffers(planes)
    lower, upper, weights = columns
    for line in range(first, stop):
        n, r = line // len(rows[0]), line % len(rows[0])
        _interpolate_row(buffered, buffer, row, planes, across, n, rows, r)
        for c in range(len(row)):
            values, byte, bit = row[c], (first_bit + c) // 8, np.uint8(1 << (first_bit + c) % 8)
            for s in range(len(lower)):
                if _lerp(values[lower[s]], values[upper[s]], weights[s]) > 0:
                    bits[n, r, s, byte] |= bit


def _overwrite(labels, planes, across, rows, columns, numbers, first, stop):
    buffered, buffer, row = _row_buffers(planes)
    lower, upper, weights = columns
    for line in range(first, stop):
        n, r = line // len(rows[0]), line % len(rows[0])
        _interpolate_row(buffered, buffer, row, planes, across, n, rows, r)
        labels_row = labels[n, r]
        for c in range(len(row)):
            values, number = row[c], numbers[c]
            for s in range(len(lower)):
                if _lerp(values[lower[s]], values[upper[s]], weights[s]) > 0:
                    labels_row[s] = number


@register_jitable
def _row_buffers(planes):
    """Returns the numbers of the buffered rows and of their plane, a buffer for two model rows, and one source row."""
    _, channels, _, width = planes.shape
    buffer = np.empty((2, channels, width), np.float32)
    return np.full(3, -1, np.intp), buffer, np.empty((channels, width), np.float32)


@register_jitable
def _interpolate_row(buffered, buffer, row, planes, across, n, rows, r):
    """Fills a row by interpolation between two model rows, which are interpolated across planes and buffered."""
    if buffered[2] != n:
        buffered[:] = -1
        buffered[2] = n
    lower_plane, upper_plane, plane_weight = planes[across[0][n]], planes[across[1][n]], across[2][n]
    lower, upper, weight = rows[0][r], rows[1][r], rows[2][r]
    for j in (lower, upper):
        if buffered[j % 2] != j:
            buffered[j % 2] = j
            for c in range(len(row)):
                _lerp_row(lower_plane[c, j], upper_plane[c, j], plane_weight, buffer[j % 2, c])
    for c in range(len(row)):
        _lerp_row(buffer[lower % 2, c], buffer[upper % 2, c], weight, row[c])


@register_jitable
def _lerp_row(lower, upper, weight, result):
    for q in range(len(result)):
        result[q] = _lerp(lower[q], upper[q], weight)


@register_jitable
def _lerp(lower, upper, weight):
    return lower * (np.float32(1) - weight) + upper * weight
