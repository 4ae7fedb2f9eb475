"""Series that contain several volumes: time points, b-values, echoes, phases, reconstructions."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from clickseg.core.errors import SeriesError
from clickseg.core.text import join_names
from clickseg.dicom.aligned_planes import SAME_POSITION_MM, group_by_orientation, offsets_mm
from clickseg.dicom.attribute_names import name_with_tag
from clickseg.dicom.interleaved import ACQUISITION_KEYWORDS, split_interleaved
from clickseg.dicom.plane_values import PlaneValues, read_functional_group_values, read_plane_values
from clickseg.dicom.planes import Plane

_DISTINGUISHING_KEYWORDS = (
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
"""Attributes that can distinguish the volumes of a series; the most specific first."""

_TIME_KEYWORDS = ("TriggerTime", "FrameReferenceTime", "AcquisitionTime", "FrameAcquisitionDateTime", "ContentTime")
"""Attributes that order the images at one position if each image has its own time."""

_DECIMALS = re.compile(r"(\.\d{3})\d+")
"""Decimals that messages omit: gradient directions are stored with 16 decimals."""


@dataclass(frozen=True, slots=True)
class ChosenVolume:
    """One of the volumes of a series.

    Attributes:
        planes: The planes of the volume.
        volume_count: The number of volumes in the series.
    """

    planes: tuple[Plane, ...]
    volume_count: int


def choose_volume(planes: Sequence[Plane], number: int | None) -> ChosenVolume:
    """Returns the planes of one volume.

    Args:
        planes: All planes of a series.
        number: The number of the volume to use, from 1, if the series contains several volumes; None rejects such a
            series. A series of one volume is accepted with any number, because the number is meant for other series.

    Returns:
        The chosen volume; all planes if no attribute distinguishes planes at one position, or interleaved planes.

    Raises:
        SeriesError: The series contains several volumes and ``number`` is None, or the chosen volume does not exist.
    """
    keywords, volumes = _split_volumes(planes)
    if len(volumes) == 1:
        return ChosenVolume(tuple(planes), 1)
    if number is None:
        sizes = sorted({len(members) for members in volumes.values()})
        raise SeriesError(
            f"{len(volumes)} volumes in one series ({_summary(keywords, list(volumes))}), "
            f"{join_names([str(size) for size in sizes])} slices each",
            hint=f"--repair volume=N uses the N-th of {len(volumes)} volumes",
        )
    if number > len(volumes):
        raise SeriesError(
            f"volume {number} was requested, but the series contains {len(volumes)} volumes",
            hint=f"--repair volume=N uses the N-th of {len(volumes)} volumes",
        )
    return ChosenVolume(list(volumes.values())[number - 1], len(volumes))


def has_coinciding_volumes(planes: Sequence[Plane]) -> bool:
    """Whether planes are several volumes at the same positions."""
    return len(_split_coinciding(planes)[1]) > 1


VolumeKey = tuple[str, ...]
"""The values of the attributes that distinguish one volume from the others."""

VolumePlanes = dict[VolumeKey, tuple[Plane, ...]]
"""The planes of each volume."""


def _split_volumes(planes: Sequence[Plane]) -> tuple[tuple[str, ...], VolumePlanes]:
    """Splits planes into volumes until none is left: by orientation, then at the same positions, then interleaved."""
    keywords, volumes = _split_by_orientation(planes)
    if len(volumes) == 1:
        keywords, volumes = _split_coinciding(planes)
    if len(volumes) == 1:
        keywords, indices = split_interleaved(planes)
        volumes = {
            key: tuple(planes[index] for index in indices[key])
            for key in sorted(indices, key=lambda key: [_sort_key(value) for value in key])
        }
    if len(volumes) == 1:
        return (), volumes
    parts: VolumePlanes = {}
    part_keywords: list[str] = []
    for key, members in volumes.items():
        names, part = _split_volumes(members)
        part_keywords += [name for name in names if name not in part_keywords]
        parts |= {key + part_key: part_members for part_key, part_members in part.items()}
    return (*keywords, *part_keywords), parts


def _split_by_orientation(planes: Sequence[Plane]) -> tuple[tuple[str, ...], VolumePlanes]:
    """Splits the frames of a multi-frame image by orientation, because they cannot be sent as series of their own."""
    groups = group_by_orientation(planes)
    if planes[0].frame_number is None or len(groups) == 1 or max(map(len, groups)) == 1:
        return (), {(): tuple(planes)}
    directions = [str((np.round(planes[group[0]].orientation, 4) + 0.0).tolist()) for group in groups]
    volumes: VolumePlanes = {
        (text,): tuple(planes[index] for index in group) for text, group in zip(directions, groups, strict=True)
    }
    return ("ImageOrientationPatient",), volumes


def _split_coinciding(planes: Sequence[Plane]) -> tuple[tuple[str, ...], VolumePlanes]:
    """Splits planes by one attribute, several attributes or time, so that each position occurs once in each volume."""
    positions = _position_numbers(planes)
    if len(set(positions)) > 1 and max(Counter(positions).values()) > 1:
        for keywords, volumes in _possible_splits(planes, positions):
            if len(volumes) > 1 and all(
                _covers_each_position_once([positions[index] for index in indices], positions)
                for indices in volumes.values()
            ):
                return keywords, {key: tuple(planes[index] for index in indices) for key, indices in volumes.items()}
    return (), {(): tuple(planes)}


def _possible_splits(
    planes: Sequence[Plane], positions: Sequence[int]
) -> Iterator[tuple[tuple[str, ...], dict[VolumeKey, list[int]]]]:
    """Yields splits of the planes, the most specific first.

    Single attributes are followed by several shared attributes, acquisition parameters, the dimensions of a multi-frame
    image, its other functional groups, and the order in time.
    """
    values = read_plane_values(planes, _DISTINGUISHING_KEYWORDS)
    yield from _splits_by_attributes(values)
    yield from _splits_by_attributes(read_plane_values(planes, ACQUISITION_KEYWORDS))
    if planes[0].frame_number is not None:
        yield ("DimensionIndexValues",), _split_by_dimensions(planes, positions)
        volume_count = max(Counter(positions).values())
        groups = read_functional_group_values(planes)
        yield from _splits_by_attributes(
            {keyword: texts for keyword, texts in groups.items() if len(set(texts)) <= volume_count}
        )
    for keyword in _TIME_KEYWORDS:
        if len(set(values[keyword])) > 1:
            yield (f"order of {name_with_tag(keyword)} at each position",), _split_by_order(values[keyword], positions)


def _splits_by_attributes(values: PlaneValues) -> Iterator[tuple[tuple[str, ...], dict[VolumeKey, list[int]]]]:
    """Yields splits by one attribute, by two shared attributes and by all shared attributes."""
    varying = [keyword for keyword, texts in values.items() if len(set(texts)) > 1]
    shared = [keyword for keyword in varying if len(set(values[keyword])) < len(values[keyword])]
    for keywords in [*((keyword,) for keyword in varying), *combinations(shared, 2), tuple(shared)]:
        if keywords:
            yield keywords, _split_by_values(values, keywords)


def _split_by_dimensions(planes: Sequence[Plane], positions: Sequence[int]) -> dict[VolumeKey, list[int]]:
    """Splits frames by Dimension Index Values (0020,9157), without the dimensions that number the positions."""
    indices = [_dimension_indices(plane) for plane in planes]
    columns = [
        column
        for column in range(min(map(len, indices)))
        if len({(position, values[column]) for position, values in zip(positions, indices, strict=True)})
        > len(set(positions))
    ]
    volumes: dict[VolumeKey, list[int]] = defaultdict(list)
    for index, values in sorted(enumerate(indices), key=lambda pair: [pair[1][column] for column in columns]):
        volumes[tuple(str(values[column]) for column in columns)].append(index)
    return volumes


def _dimension_indices(plane: Plane) -> tuple[int, ...]:
    value = plane.get("DimensionIndexValues")
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return tuple(item for item in values if isinstance(item, int))


def _split_by_order(times: Sequence[str], positions: Sequence[int]) -> dict[VolumeKey, list[int]]:
    """Returns the indices of the planes that come first, second, ... in time at their position."""
    volumes: dict[VolumeKey, list[int]] = defaultdict(list)
    for position in sorted(set(positions)):
        indices = [index for index, number in enumerate(positions) if number == position]
        if len({times[index] for index in indices}) == len(indices):
            for rank, index in enumerate(sorted(indices, key=lambda index: _sort_key(times[index])), 1):
                volumes[(str(rank),)].append(index)
    return volumes


def _position_numbers(planes: Sequence[Plane]) -> list[int]:
    """Returns the number of each plane's position along the normal; positions that nearly coincide have one number."""
    offsets = offsets_mm(planes)
    order = np.argsort(offsets)
    numbers = np.concatenate([[0], np.cumsum(np.diff(offsets[order]) > SAME_POSITION_MM)])
    return [int(number) for number in numbers[np.argsort(order)]]


def _split_by_values(values: PlaneValues, keywords: Sequence[str]) -> dict[VolumeKey, list[int]]:
    """Returns the indices of the planes with equal values of some attributes, sorted by these values."""
    volumes: dict[VolumeKey, list[int]] = defaultdict(list)
    for index, key in enumerate(zip(*(values[keyword] for keyword in keywords), strict=True)):
        volumes[key].append(index)
    return {key: volumes[key] for key in sorted(volumes, key=lambda key: [_sort_key(value) for value in key])}


def _covers_each_position_once(volume_positions: Sequence[int], positions: Sequence[int]) -> bool:
    return len(volume_positions) == len(set(volume_positions)) == len(set(positions))


def _sort_key(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return float("inf"), value


def _summary(keywords: Sequence[str], keys: Sequence[VolumeKey]) -> str:
    names = [" ".join(_DECIMALS.sub(r"\1", value) or "no value" for value in key) for key in keys]
    return f"{', '.join(map(name_with_tag, keywords))}: {join_names(names)}"
