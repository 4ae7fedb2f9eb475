"""Series that hold several volumes over the same positions: time points, b-values, echoes, phases."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from clickseg.core.errors import SeriesError
from clickseg.core.text import first_names
from clickseg.dicom.planes import Plane
from clickseg.dicom.stack import SAME_POSITION_MM, offsets_mm

_DISTINGUISHING = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    "EchoTime",
    "EffectiveEchoTime",
    "InversionTime",
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "FrameReferenceTime",
    "AcquisitionNumber",
    "FrameAcquisitionNumber",
    "AcquisitionTime",
    "FrameAcquisitionDateTime",
    "ContentTime",
    "ImageType",
    "FrameType",
    "StackID",
)
"""Attributes that tell one volume from another, the most telling first."""

_TIMES = ("TriggerTime", "FrameReferenceTime", "AcquisitionTime", "FrameAcquisitionDateTime", "ContentTime")
"""What orders images that each have a time of their own."""


def choose_volume(planes: Sequence[Plane], number: int | None) -> tuple[Plane, ...]:
    """Returns the planes of one volume.

    Args:
        planes: All planes of a series.
        number: The volume to take, from 1, where there are several; None to refuse several. A series of one volume is
            taken whatever the number: it is meant for another one.

    Returns:
        All planes, where no position is taken twice or no attribute tells the planes at one position apart.

    Raises:
        SeriesError: There are several volumes and none is chosen, or the chosen one does not exist.
    """
    keywords, volumes = _volumes(planes)
    if len(volumes) == 1:
        return tuple(planes)
    if number is None:
        raise SeriesError(
            f"{len(volumes)} volumes in one series ({_described(keywords, list(volumes))}), "
            f"{len(next(iter(volumes.values())))} slices each",
            hint=f"--remedy volume=N takes the N-th of {len(volumes)}",
        )
    if number > len(volumes):
        raise SeriesError(f"volume {number} was asked for, but the series holds {len(volumes)}")
    return list(volumes.values())[number - 1]


Key = tuple[str, ...]
Values = dict[str, list[str]]


def _volumes(planes: Sequence[Plane]) -> tuple[tuple[str, ...], dict[Key, tuple[Plane, ...]]]:
    """Splits planes by what leaves each position once in every part: an attribute, a few together, or the time."""
    positions = _positions(planes)
    if len(set(positions)) > 1 and max(Counter(positions).values()) > 1:
        values = {keyword: [str(plane.get(keyword)) for plane in planes] for keyword in _DISTINGUISHING}
        for keywords, members in _splits(values, positions):
            if len(members) > 1 and all(_covers([positions[i] for i in m], positions) for m in members.values()):
                return keywords, {key: tuple(planes[index] for index in m) for key, m in members.items()}
    return (), {(): tuple(planes)}


def _splits(values: Values, positions: Sequence[int]) -> Iterator[tuple[tuple[str, ...], dict[Key, list[int]]]]:
    """Yields ways to split planes: by single attributes, by several that are shared, and by the order in time."""
    varying = [keyword for keyword, each in values.items() if len(set(each)) > 1]
    shared = [keyword for keyword in varying if len(set(values[keyword])) < len(positions)]
    for keywords in [*((keyword,) for keyword in varying), *combinations(shared, 2), tuple(shared)]:
        yield keywords, _split(values, keywords)
    for keyword in _TIMES:
        if keyword in varying:
            yield (f"order of {keyword} at each position",), _ranked(values[keyword], positions)


def _ranked(times: Sequence[str], positions: Sequence[int]) -> dict[Key, list[int]]:
    """Returns the planes that come first, second, ... at their position."""
    ranked: dict[Key, list[int]] = defaultdict(list)
    for position in sorted(set(positions)):
        here = [index for index, each in enumerate(positions) if each == position]
        if len({times[index] for index in here}) == len(here):
            for rank, index in enumerate(sorted(here, key=lambda index: _sortable(times[index])), 1):
                ranked[(str(rank),)].append(index)
    return ranked


def _positions(planes: Sequence[Plane]) -> list[int]:
    """Numbers the positions that planes take along their normal; those that nearly coincide are one."""
    offsets = offsets_mm(planes)
    order = np.argsort(offsets)
    numbers = np.concatenate([[0], np.cumsum(np.diff(offsets[order]) > SAME_POSITION_MM)])
    return [int(number) for number in numbers[np.argsort(order)]]


def _split(values: Values, keywords: Sequence[str]) -> dict[Key, list[int]]:
    """Returns which planes have the same values of some attributes, in the order of the values."""
    members: dict[Key, list[int]] = defaultdict(list)
    for index, key in enumerate(zip(*(values[keyword] for keyword in keywords), strict=True)):
        members[key].append(index)
    return {key: members[key] for key in sorted(members, key=lambda key: [_sortable(value) for value in key])}


def _covers(part: Sequence[int], positions: Sequence[int]) -> bool:
    return len(part) == len(set(part)) == len(set(positions))


def _sortable(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return float("inf"), value


def _described(keywords: Sequence[str], keys: Sequence[Key]) -> str:
    return f"{', '.join(keywords)}: {first_names([' '.join(key) for key in keys])}"
