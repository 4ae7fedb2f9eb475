"""Series that hold several volumes over the same positions: time points, b-values, echoes, phases."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from clickseg.dicom.planes import Plane
from clickseg.errors import SeriesError

_DISTINGUISHING = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "DiffusionBValue",
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


def choose_volume(planes: Sequence[Plane], number: int | None) -> tuple[Plane, ...]:
    """Returns the planes of one volume.

    Args:
        planes: All planes of a series.
        number: The volume to take, from 1, where there are several; None to refuse several.

    Returns:
        All planes, where no position is taken twice or no attribute tells the planes at one position apart.

    Raises:
        SeriesError: There are several volumes and none is chosen, or the chosen one does not exist.
    """
    keywords, volumes = _volumes(planes)
    if number is None:
        if len(volumes) > 1:
            raise SeriesError(
                f"{len(volumes)} volumes in one series ({_described(keywords, list(volumes))}), "
                f"{len(next(iter(volumes.values())))} slices each",
                hint=f"--remedy volume=N takes the N-th of {len(volumes)}",
            )
        return tuple(planes)
    if number > len(volumes):
        raise SeriesError(f"volume {number} was asked for, but the series holds {len(volumes)}")
    return list(volumes.values())[number - 1]


Key = tuple[str, ...]


def _volumes(planes: Sequence[Plane]) -> tuple[tuple[str, ...], dict[Key, tuple[Plane, ...]]]:
    """Splits planes by the first attribute, or by all together, that leaves each position once in every part."""
    positions = Counter(_position(plane) for plane in planes)
    if len(positions) > 1 and max(positions.values()) > 1:
        varying = tuple(k for k in _DISTINGUISHING if len({str(plane.get(k)) for plane in planes}) > 1)
        for keywords in [*((keyword,) for keyword in varying), varying]:
            volumes = _split(planes, keywords)
            if len(volumes) > 1 and all(_covers(volume, set(positions)) for volume in volumes.values()):
                return keywords, volumes
    return (), {(): tuple(planes)}


def _position(plane: Plane) -> tuple[float, ...]:
    return tuple(round(float(value), 2) for value in (*plane.position_mm, *plane.orientation))


def _split(planes: Sequence[Plane], keywords: Sequence[str]) -> dict[Key, tuple[Plane, ...]]:
    volumes: dict[Key, list[Plane]] = defaultdict(list)
    for plane in planes:
        volumes[tuple(str(plane.get(keyword)) for keyword in keywords)].append(plane)
    return {key: tuple(volumes[key]) for key in sorted(volumes, key=lambda key: [_sortable(value) for value in key])}


def _covers(volume: Sequence[Plane], positions: set[tuple[float, ...]]) -> bool:
    return len(volume) == len(positions) and {_position(plane) for plane in volume} == positions


def _sortable(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return float("inf"), value


def _described(keywords: Sequence[str], keys: Sequence[Key]) -> str:
    shown = [" ".join(key) for key in keys[:4]] + ["..."] * (len(keys) > 4)
    return f"{', '.join(keywords)}: {', '.join(shown)}"
