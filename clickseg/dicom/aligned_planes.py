"""Sorts parallel planes along the line through their positions, or rejects them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clickseg.core.arrays import FloatArray
from clickseg.core.errors import SeriesError
from clickseg.core.text import format_count
from clickseg.dicom.attribute_names import name_with_tag
from clickseg.dicom.duplicates import duplicate_position_error
from clickseg.dicom.planes import Plane

SPACING_TOLERANCE = 0.05
"""The largest distance of a slice from the uniform grid, as a fraction of the slice spacing: PET varies by 2 %."""

SAME_POSITION_MM = 0.01
"""Slices that are closer are treated as being at the same position."""

_SAME_ORIENTATION = 1e-3

_SAME_SPACING = 1e-3

_ROUNDED_DEGREES = 0.1
"""A smaller tilt is treated as a rounding error of direction cosines with three decimals; positions are more exact."""


@dataclass(frozen=True, slots=True)
class AlignedPlanes:
    """Sorted planes, before a uniform grid is fitted to them.

    Attributes:
        planes: The planes in the slice order of ``highdicom.Volume``: opposite to the slice normal.
        orientation: The common direction cosines of rows and columns, perpendicular to the line through the positions.
        offsets_mm: The position of each plane along the normal, in mm.
        tilt_degrees: The gantry tilt to correct; 0 if the positions are on a line along the normal.
    """

    planes: tuple[Plane, ...]
    orientation: FloatArray
    offsets_mm: FloatArray
    tilt_degrees: float = 0.0

    @property
    def normal(self) -> FloatArray:
        """The unit vector along which offsets increase, in LPS."""
        return np.cross(self.orientation[:3], self.orientation[3:])


def align_planes(planes: Sequence[Plane], *, correct_tilt: bool) -> AlignedPlanes:
    """Sorts planes along the line through their positions, or along their normal if a tilt must be corrected.

    Args:
        planes: At least one plane, in any order.
        correct_tilt: Whether planes that are sheared are accepted.

    Raises:
        SeriesError: There are fewer than 2 planes, or the planes differ in orientation or pixel spacing, coincide, are
            sheared (gantry tilt) or are not on one line; the message names files and positions.
    """
    if len(planes) < 2:
        raise SeriesError(
            f"{planes[0].name}: a volume needs at least 2 slices, got {len(planes)}",
            hint="send the complete series, or use another series of the study",
        )
    _check_parallel(planes)
    _check_pixel_spacing(planes)
    ordered = _sort_planes(planes, planes[0].normal)
    _check_distinct(ordered)
    normal = _exact_normal(ordered)
    tilt_degrees = _check_line(ordered, normal, correct_tilt=correct_tilt)
    orientation = _make_perpendicular(ordered[0].orientation, normal)
    return AlignedPlanes(tuple(ordered), orientation, _offsets(ordered, normal), tilt_degrees)


def offsets_mm(planes: Sequence[Plane]) -> FloatArray:
    """Returns the position of each plane along the normal of the first plane, in mm [N]."""
    return _offsets(planes, planes[0].normal)


def are_parallel(planes: Sequence[Plane]) -> bool:
    """Whether all planes have the orientation of the first plane."""
    return len(group_by_orientation(planes)) == 1


def group_by_orientation(planes: Sequence[Plane]) -> list[list[int]]:
    """Returns the indices of the planes of each orientation, in the order of its first plane."""
    return _group_equal([plane.orientation for plane in planes], _SAME_ORIENTATION)


def format_position(position_mm: FloatArray) -> str:
    """Returns a position as text for a message."""
    return "(" + ", ".join(f"{value:.2f}" for value in position_mm) + ")"


def _check_parallel(planes: Sequence[Plane]) -> None:
    groups = group_by_orientation(planes)
    if len(groups) > 1:
        raise SeriesError(
            f"{len(groups)} orientations in one series: {_format_examples(planes, groups, 'ImageOrientationPatient')}",
            hint="send each orientation as a series of its own",
        )


def _group_equal(vectors: Sequence[FloatArray], tolerance: float) -> list[list[int]]:
    """Returns the indices of vectors in groups; vectors of a group equal its first vector within the tolerance."""
    groups: list[list[int]] = []
    for index, vector in enumerate(vectors):
        for group in groups:
            if np.abs(vector - vectors[group[0]]).max() <= tolerance:
                group.append(index)
                break
        else:
            groups.append([index])
    return groups


def _format_examples(planes: Sequence[Plane], groups: Sequence[Sequence[int]], keyword: str) -> str:
    examples = [(len(group), planes[group[0]]) for group in groups[:3]]
    return "; ".join(
        f"{format_count(count, 'image')} such as {plane.name} "
        f"({name_with_tag(keyword)} {[float(value) for value in plane.get(keyword)]})"
        for count, plane in examples
    )


def _check_pixel_spacing(planes: Sequence[Plane]) -> None:
    scale = planes[0].pixel_spacing_mm
    groups = _group_equal([plane.pixel_spacing_mm / scale for plane in planes], _SAME_SPACING)
    if len(groups) > 1:
        raise SeriesError(
            f"{len(groups)} pixel spacings in one series: {_format_examples(planes, groups, 'PixelSpacing')}",
            hint="send the images of each pixel spacing as a series of their own",
        )


def _sort_planes(planes: Sequence[Plane], normal: FloatArray) -> list[Plane]:
    order = np.argsort(-_offsets(planes, normal), kind="stable")
    return [planes[index] for index in order]


def _offsets(planes: Sequence[Plane], normal: FloatArray) -> FloatArray:
    return np.array([plane.position_mm @ normal for plane in planes])


def _check_distinct(ordered: Sequence[Plane]) -> None:
    duplicates = np.flatnonzero(-np.diff(offsets_mm(ordered)) < SAME_POSITION_MM)
    if duplicates.size:
        pairs = [(ordered[index], ordered[index + 1]) for index in map(int, duplicates)]
        raise duplicate_position_error(pairs, format_position(pairs[0][0].position_mm))


def _exact_normal(ordered: Sequence[Plane]) -> FloatArray:
    """Returns the direction of the line through the positions if it differs from the normal only by rounding.

    Otherwise returns the normal of the planes.
    """
    normal = ordered[0].normal
    shear = _shear_vector(ordered, normal)
    if np.degrees(np.arctan(np.linalg.norm(shear))) > _ROUNDED_DEGREES:
        return normal
    line: FloatArray = (normal + shear) / np.linalg.norm(normal + shear)
    return line


def _shear_vector(ordered: Sequence[Plane], normal: FloatArray) -> FloatArray:
    """Returns the shift of positions perpendicular to a normal, per mm along this normal."""
    offsets = _offsets(ordered, normal)
    centred = offsets - offsets.mean()
    slope: FloatArray = centred @ _perpendicular_offsets(ordered, normal) / (centred @ centred)
    return slope


def _perpendicular_offsets(ordered: Sequence[Plane], normal: FloatArray) -> FloatArray:
    """Returns the offsets of positions from their mean, perpendicular to a normal [N, 3]."""
    positions = np.array([plane.position_mm for plane in ordered])
    perpendicular = positions - np.outer(positions @ normal, normal)
    return np.asarray(perpendicular - perpendicular.mean(axis=0))


def _check_line(ordered: Sequence[Plane], normal: FloatArray, *, correct_tilt: bool) -> float:
    """Rejects planes whose positions are not on a line along the normal.

    Returns:
        The gantry tilt to correct, in degrees: the angle between the line and the normal. 0 without a tilt.
    """
    offsets, perpendicular = _offsets(ordered, normal), _perpendicular_offsets(ordered, normal)
    limit = SPACING_TOLERANCE * np.ptp(offsets) / (len(ordered) - 1)
    if np.linalg.norm(perpendicular, axis=1).max() <= limit:
        return 0.0
    shear = _shear_vector(ordered, normal)
    residual = np.linalg.norm(perpendicular - np.outer(offsets - offsets.mean(), shear), axis=1)
    tilt_degrees = float(np.degrees(np.arctan(np.linalg.norm(shear))))
    if residual.max() <= limit:
        if correct_tilt:
            return tilt_degrees
        raise SeriesError(
            f"gantry tilt of {tilt_degrees:.1f} degrees: slices from "
            f"{ordered[-1].name} to {ordered[0].name} are shifted against each other by "
            f"{np.linalg.norm(shear) * np.ptp(offsets):.1f} mm",
            hint="reconstruct the series without tilt, or use --repair gantry-tilt to correct the shift",
        )
    worst = ordered[int(residual.argmax())]
    raise SeriesError(
        f"slice positions are not on one line: {worst.name} at {format_position(worst.position_mm)} mm is "
        f"{residual.max():.2f} mm away from the line through the others",
        hint="send the series again; if its positions are unchanged, ask the sending modality",
    )


def _make_perpendicular(orientation: FloatArray, normal: FloatArray) -> FloatArray:
    """Returns row and column directions, rotated so that they are perpendicular to a normal."""
    row = orientation[:3] - (orientation[:3] @ normal) * normal
    row = row / np.linalg.norm(row)
    return np.concatenate([row, np.cross(normal, row)])
