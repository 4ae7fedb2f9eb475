"""Series whose volumes have different slice positions: acquisitions or reconstructions that interleave."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from clickseg.core.arrays import FloatArray, Mask
from clickseg.dicom.aligned_planes import SAME_POSITION_MM, are_parallel, offsets_mm
from clickseg.dicom.plane_values import read_plane_values
from clickseg.dicom.planes import Plane
from clickseg.dicom.private_b_value import read_private_b_values

ACQUISITION_KEYWORDS = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "TemporalPositionTimeOffset",
    "DiffusionBValue",
    "EchoTime",
    "EffectiveEchoTime",
    "EchoNumbers",
    "InversionTime",
    "InversionTimes",
    "RepetitionTime",
    "FlipAngle",
    "ContrastBolusAgent",
    "ContrastBolusAgentNumber",
    "ContrastBolusAgentAdministered",
    "ContrastBolusAgentPhase",
    "ConvolutionKernel",
    "ConvolutionKernelGroup",
    "SliceThickness",
    "ImageType",
    "FrameType",
    "ComplexImageComponent",
    "StackID",
)
"""Attributes whose value is the same in all slices of a volume, if neighbouring slices can be compared."""

_NUMBERING_KEYWORDS = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "EchoNumbers",
    "ContrastBolusAgentNumber",
    "StackID",
)
"""Attributes that number the volumes, without rounding errors."""

_SAME_NUMBER = 0.01
"""The largest relative difference of equal parameters: scanners write echo times and b-values with rounding errors."""

_SAME_STEP = 0.1
_REGULAR_STEPS = 0.6
"""The smallest fraction of equal neighbouring steps in a stack (two stacks that follow each other differ in one), and
of planes without such steps that are between the slices of another stack."""

_LARGEST_STEP = 1.5
"""The largest step without a missing slice, as a multiple of the smallest step."""

_MIN_STACK = 3
"""The number of planes from which the steps of a group show whether it is a stack."""

_STACKED_FRACTION = 0.8
"""The smallest fraction of planes that are in groups of at least ``_MIN_STACK`` planes, or in pairs with the step of
another group. If groups are smaller, the scanner adapted the parameter to each slice, as in cardiac MR."""


def split_interleaved(planes: Sequence[Plane]) -> tuple[tuple[str, ...], dict[tuple[str, ...], list[int]]]:
    """Splits planes by the acquisition parameters whose groups overlap along the normal.

    Groups that follow each other, such as a head CT with two slice thicknesses, are not split, and neither are planes
    that fill the gaps of other planes.

    Args:
        planes: At least one plane.

    Returns:
        The keywords of the parameters, and the indices of the planes of each volume by the values of the parameters;
        one volume if no groups overlap.
    """
    whole: dict[tuple[str, ...], list[int]] = {(): list(range(len(planes)))}
    if len(planes) < 4 or not are_parallel(planes):
        return (), whole
    offsets = offsets_mm(planes)
    values = read_plane_values(planes, ACQUISITION_KEYWORDS)
    if not any(values["DiffusionBValue"]):
        values["DiffusionBValue"] = read_private_b_values(planes)
    labels = {
        keyword: texts if keyword in _NUMBERING_KEYWORDS else _merge_equal(texts) for keyword, texts in values.items()
    }
    keywords = tuple(keyword for keyword, values in labels.items() if _separates_volumes(values, offsets))
    if not keywords:
        return (), whole
    volumes: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, key in enumerate(zip(*(labels[keyword] for keyword in keywords), strict=True)):
        volumes[key].append(index)
    return keywords, dict(volumes)


def are_within_steps(offsets: FloatArray, stack: FloatArray) -> Mask:
    """Returns, for each offset, whether it is at a plane of a stack or between two neighbours without a missing slice.

    Args:
        offsets: Offsets along the normal in mm [N].
        stack: The offsets of the planes of the stack, in mm [M].
    """
    positions = _unique_positions(stack)
    coincides = np.abs(offsets[:, np.newaxis] - positions).min(axis=1) <= SAME_POSITION_MM
    if len(positions) < 2:
        return np.asarray(coincides)
    steps = np.diff(positions)
    number = np.searchsorted(positions, offsets)
    is_inside = (number > 0) & (number < len(positions))
    step = steps[np.clip(number - 1, 0, len(steps) - 1)]
    return np.asarray(coincides | (is_inside & (step <= _LARGEST_STEP * steps.min())))


def _merge_equal(texts: Sequence[str]) -> list[str]:
    """Returns values in which numbers that differ only by rounding, and texts that differ only in case, are equal."""
    names: dict[str, str] = {}
    previous: tuple[float, str] | None = None
    for number, text in sorted((_to_number(text), text) for text in set(texts) if np.isfinite(_to_number(text))):
        is_same = previous is not None and number - previous[0] <= _SAME_NUMBER * max(abs(number), abs(previous[0]))
        previous = (number, previous[1] if is_same and previous is not None else text)
        names[text] = previous[1]
    for text in texts:
        names.setdefault(text, names.setdefault(text.upper(), text))
    return [names[text] for text in texts]


def _to_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.inf


def _separates_volumes(values: Sequence[str], offsets: FloatArray) -> bool:
    """Whether the planes with equal values are stacks, of which two overlap along the normal."""
    indices: dict[str, list[int]] = defaultdict(list)
    for index, value in enumerate(values):
        indices[value].append(index)
    groups = [offsets[members] for members in indices.values()]
    stacks = [group for group in groups if len(group) >= _MIN_STACK]
    pairs = [group for group in groups if len(group) == 2 and _has_step_of_other_group(group, groups)]
    if len(groups) < 2 or sum(map(len, [*stacks, *pairs])) < _STACKED_FRACTION * len(values):
        return False
    regular = [group for group in stacks if _is_stack(group)]
    gapped = [group for group in stacks if not _is_stack(group)]
    if len(gapped) > len(regular) or not all(_is_between_slices(group, regular) for group in gapped):
        return False
    return any(_overlap(*pair) for pair in combinations(groups, 2))


def _has_step_of_other_group(pair: FloatArray, groups: Sequence[FloatArray]) -> bool:
    """Whether two planes are a small stack: their step is that of another group, or they are inside another stack."""
    step = np.ptp(pair)
    others = [group for group in groups if group is not pair and len(group) > 1]
    return any(
        abs(np.diff(_unique_positions(group)).min(initial=np.inf) - step) <= _SAME_STEP * step
        or (len(group) >= _MIN_STACK and are_within_steps(pair, group).all())
        for group in others
    )


def _is_stack(offsets: FloatArray) -> bool:
    """Whether most neighbouring steps of a group are equal; those of planes that only fill gaps are not."""
    steps = np.diff(_unique_positions(offsets))
    if len(steps) < 2:
        return False
    return bool(np.mean(np.abs(np.diff(steps)) <= _SAME_STEP * steps[:-1]) >= _REGULAR_STEPS)


def _is_between_slices(offsets: FloatArray, stacks: Sequence[FloatArray]) -> bool:
    """Whether planes with missing slices are inside a stack, but do not fill its gaps; then they are a volume too."""
    return any(np.mean(are_within_steps(offsets, stack)) >= _REGULAR_STEPS for stack in stacks)


def _overlap(first: FloatArray, second: FloatArray) -> bool:
    small, large = sorted((first, second), key=len)
    if not are_within_steps(small, large).any():
        return False
    return len(small) < _MIN_STACK <= len(large) or bool(are_within_steps(large, small).any())


def _unique_positions(offsets: FloatArray) -> FloatArray:
    """Returns sorted offsets without those that nearly coincide with another one."""
    ordered = np.sort(offsets)
    return np.asarray(ordered[np.concatenate([[True], np.diff(ordered) > SAME_POSITION_MM])])
