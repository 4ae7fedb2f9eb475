"""What Numba compiles, the loops of ``kernels``: it knows no dataclasses, so the arguments are many and plain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import float32, int64, uint8, uint16
from numba.extending import register_jitable

from clickseg.core.interruption import deferred_interruption
from clickseg.inference.resample import LinearWeights

_EXPONENT = np.int32(0x7F800000)
"""The exponent of a float32; all of its bits are set where it is no finite number (IEEE 754)."""


class Loops(NamedTuple):
    """Compiled loops; none of them holds the interpreter's lock."""

    add_window: Callable[..., None]
    add_weights: Callable[..., None]
    divide_planes: Callable[..., bool]
    divide_rows: Callable[..., bool]
    argmax: Callable[..., None]
    threshold: Callable[..., None]


def compile_loops(*, keep: bool) -> Loops:
    """Compiles all loops for the types that ``CompiledKernels`` calls them with, and for no others.

    Args:
        keep: Whether Numba takes them from the folder that it is told, or writes them there.
    """
    taps = numba.typeof(LinearWeights(np.zeros(1, np.intp), np.zeros(1, np.intp), np.zeros(1, np.float32)))
    triple, part, between = numba.types.UniTuple(int64, 3), (int64, int64), (taps, taps, taps)
    volume, volumes = float32[:, :, ::1], float32[:, :, :, ::1]
    strided, strided_volumes = float32[:, :, :], float32[:, :, :, :]

    def compiled(function: Callable[..., Any], *types: tuple[Any, ...]) -> Callable[..., Any]:
        with deferred_interruption():  # LLVM calls back into Python
            made: Callable[..., Any] = numba.njit(list(types), nogil=True, error_model="numpy", cache=keep)(function)
        return made

    return Loops(
        add_window=compiled(_add_window, (volumes, volumes, volume, triple, triple, triple, *part)),
        add_weights=compiled(_add_weights, (volume, volume, triple, triple, triple, *part)),
        divide_planes=compiled(_divide_planes, (strided_volumes, strided, volumes, *part)),
        divide_rows=compiled(_divide_rows, (volumes, strided, volumes, int64, *part)),
        argmax=compiled(
            _argmax,
            *((volume, numbers[:, :, ::1], volumes, *between, numbers[::1], *part) for numbers in (uint8, uint16)),
        ),
        threshold=compiled(_threshold, (uint8[:, :, :, ::1], volumes, *between, int64, *part)),
    )


def _add_window(total, logits, weight, at, origin, size, first, stop):
    for line in range(first, stop):
        c, i = line // size[0], line % size[0]
        for j in range(size[1]):
            sums = total[c, at[0] + i, at[1] + j, at[2] : at[2] + size[2]]
            values = logits[c, origin[0] + i, origin[1] + j, origin[2] : origin[2] + size[2]]
            factors = weight[origin[0] + i, origin[1] + j, origin[2] : origin[2] + size[2]]
            for k in range(size[2]):
                sums[k] += values[k] * factors[k]


def _add_weights(weights, weight, at, origin, size, first, stop):
    for i in range(first, stop):
        for j in range(size[1]):
            sums = weights[at[0] + i, at[1] + j, at[2] : at[2] + size[2]]
            factors = weight[origin[0] + i, origin[1] + j, origin[2] : origin[2] + size[2]]
            for k in range(size[2]):
                sums[k] += factors[k]


def _divide_planes(sums, inverse, planes, first, stop):
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


def _divide_rows(total, inverse, planes, at, first, stop):
    count, _, rows, columns = planes.shape
    turned = np.empty((columns, count), np.float32)  # in the processor's cache: rows go in, columns come out
    is_finite = True
    for line in range(first, stop):
        c, p = line // rows, line % rows
        for q in range(columns):
            row, taken = total[c, p, q, at : at + count], turned[q]
            for n in range(count):
                taken[n] = row[n]
            for n in range(count):
                row[n] = 0
        for n in range(count):
            factors, means = inverse[n, p], planes[n, c, p]
            for q in range(columns):
                means[q] = turned[q, n] * factors[q]
            is_finite &= _all_finite(means)
    return is_finite


@register_jitable
def _all_finite(values):
    bits = values.view(np.int32)
    found = True
    for q in range(len(bits)):
        found &= (bits[q] & _EXPONENT) != _EXPONENT
    return found


def _argmax(best, labels, planes, between, r, s, numbers, first, stop):
    held, rows, row = _row_buffers(planes)
    below, above, w = s
    for line in range(first, stop):
        n, number = line // len(r[0]), line % len(r[0])
        _interpolate_row(held, rows, row, planes, between, n, r, number)
        highest, chosen = best[n, number], labels[n, number]
        for c in range(len(row)):
            values, label = row[c], numbers[c]
            for column in range(len(below)):
                value = _lerp(values[below[column]], values[above[column]], w[column])
                if value > highest[column]:
                    highest[column] = value
                    chosen[column] = label


def _threshold(bits, planes, between, r, s, first_bit, first, stop):
    held, rows, row = _row_buffers(planes)
    below, above, w = s
    for line in range(first, stop):
        n, number = line // len(r[0]), line % len(r[0])
        _interpolate_row(held, rows, row, planes, between, n, r, number)
        for c in range(len(row)):
            values, byte, bit = row[c], (first_bit + c) // 8, np.uint8(1 << (first_bit + c) % 8)
            for column in range(len(below)):
                if _lerp(values[below[column]], values[above[column]], w[column]) > 0:
                    bits[n, number, column, byte] |= bit


@register_jitable
def _row_buffers(planes):
    """Two rows of the model grid, which plane and rows they are of, and one row between them."""
    _, channels, _, width = planes.shape
    rows = np.empty((2, channels, width), np.float32)
    return np.full(3, -1, np.intp), rows, np.empty((channels, width), np.float32)


@register_jitable
def _interpolate_row(held, rows, row, planes, between, n, r, number):
    """Fills a row between two rows, each of which lies between two planes and is kept for the next row."""
    if held[2] != n:
        held[:] = -1
        held[2] = n
    lower, upper, weight = planes[between[0][n]], planes[between[1][n]], between[2][n]
    below, above, w = r[0][number], r[1][number], r[2][number]
    for j in (below, above):
        if held[j % 2] != j:
            held[j % 2] = j
            for c in range(len(row)):
                _lerp_row(lower[c, j], upper[c, j], weight, rows[j % 2, c])
    for c in range(len(row)):
        _lerp_row(rows[below % 2, c], rows[above % 2, c], w, row[c])


@register_jitable
def _lerp_row(lower, upper, weight, result):
    for q in range(len(result)):
        result[q] = _lerp(lower[q], upper[q], weight)


@register_jitable
def _lerp(lower, upper, weight):
    return lower * (np.float32(1) - weight) + upper * weight
