"""Sorts planes along their common normal and fits the uniform grid of a volume, or rejects them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import highdicom as hd
import numpy as np

from clickseg.core.arrays import FloatArray
from clickseg.core.errors import SeriesError
from clickseg.core.text import format_count
from clickseg.dicom.planes import Plane

_TOLERANCE = 0.05
"""The largest distance of a slice from the uniform grid, as a fraction of the slice spacing: PET varies by 2 %."""

SAME_POSITION_MM = 0.01
"""Slices that are closer are treated as being at the same position."""

_SAME_ORIENTATION = 1e-3
_SAME_SPACING = 1e-3
_ROUNDED_DEGREES = 0.1
"""A smaller tilt is treated as a rounding error of direction cosines with three decimals; positions are more exact."""

_MAX_UPSAMPLING = 4
"""The largest number of slices after resampling, as a multiple of the number of planes."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Planes in the order of the slices of a volume.

    Attributes:
        planes: The planes in the slice order of ``highdicom.Volume``: opposite to the slice normal.
        geometry: The fitted uniform grid [K, J, I] (slice, row, column), in LPS mm.
        slice_coordinates: The coordinate of each plane on axis 0 of the geometry: 0, 1, 2, ... unless resampling made
            the grid uniform.
    """

    planes: tuple[Plane, ...]
    geometry: hd.VolumeGeometry
    slice_coordinates: FloatArray

    @property
    def is_resampled(self) -> bool:
        """Whether slices of the geometry are between planes."""
        return not np.array_equal(self.slice_coordinates, np.arange(len(self.planes)))


def make_stack(planes: Sequence[Plane], *, rows: int, columns: int, resample: bool) -> Stack:
    """Orders planes along their common normal and fits a uniform grid to them.

    Args:
        planes: At least one plane, in any order.
        rows: Rows of each plane.
        columns: Columns of each plane.
        resample: Whether missing and unevenly spaced slices are replaced by resampling.

    Raises:
        SeriesError: The planes are not on one line, have gaps or are unevenly spaced; the message names files and
            positions.
    """
    aligned = _align(planes)
    try:
        spacing_mm, slices = _fit_uniform_slices(aligned)
    except SeriesError:
        if not resample:
            raise
        spacing_mm, slices = _resampled_coordinates(aligned)
    return Stack(aligned.planes, _make_geometry(aligned, spacing_mm, slices, rows, columns), slices)


def offsets_mm(planes: Sequence[Plane]) -> FloatArray:
    """Returns the position of each plane along the normal of the first plane, in mm [N]."""
    return _offsets(planes, planes[0].normal)


def are_parallel(planes: Sequence[Plane]) -> bool:
    """Whether all planes have the orientation of the first plane."""
    return len(_group_equal([plane.orientation for plane in planes], _SAME_ORIENTATION)) == 1


def format_position(position_mm: FloatArray) -> str:
    """Returns a position as text for a message."""
    return "(" + ", ".join(f"{value:.2f}" for value in position_mm) + ")"


def _align(planes: Sequence[Plane]) -> _AlignedPlanes:
    """Sorts planes along the line through their positions.

    Args:
        planes: At least one plane, in any order.

    Raises:
        SeriesError: There are fewer than 2 planes, or the planes differ in orientation or pixel spacing, coincide, are
            sheared (gantry tilt) or are not on one line; the message names files and positions.
    """
    if len(planes) < 2:
        raise SeriesError(f"{planes[0].name}: a volume needs at least 2 slices, got {len(planes)}")
    _check_parallel(planes)
    _check_pixel_spacing(planes)
    ordered = _sort_planes(planes, planes[0].normal)
    _check_distinct(ordered)
    normal = _exact_normal(ordered)
    _check_line(ordered, normal)
    return _AlignedPlanes(
        tuple(ordered), _make_perpendicular(ordered[0].orientation, normal), _offsets(ordered, normal)
    )


@dataclass(frozen=True, slots=True)
class _AlignedPlanes:
    """Sorted planes, before a uniform grid is fitted to them.

    Attributes:
        planes: The planes in the slice order of ``highdicom.Volume``: opposite to the slice normal.
        orientation: The common direction cosines of rows and columns, perpendicular to the line through the positions.
        offsets_mm: The position of each plane along the normal, in mm.
    """

    planes: tuple[Plane, ...]
    orientation: FloatArray
    offsets_mm: FloatArray

    @property
    def normal(self) -> FloatArray:
        """The unit vector along which offsets increase, in LPS."""
        return np.cross(self.orientation[:3], self.orientation[3:])


def _check_parallel(planes: Sequence[Plane]) -> None:
    groups = _group_equal([plane.orientation for plane in planes], _SAME_ORIENTATION)
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
        f"({keyword} {[float(value) for value in plane.get(keyword)]})"
        for count, plane in examples
    )


def _check_pixel_spacing(planes: Sequence[Plane]) -> None:
    scale = planes[0].pixel_spacing_mm
    groups = _group_equal([plane.pixel_spacing_mm / scale for plane in planes], _SAME_SPACING)
    if len(groups) > 1:
        raise SeriesError(
            f"{len(groups)} pixel spacings in one series: {_format_examples(planes, groups, 'PixelSpacing')}"
        )


def _sort_planes(planes: Sequence[Plane], normal: FloatArray) -> list[Plane]:
    order = np.argsort(-_offsets(planes, normal), kind="stable")
    return [planes[index] for index in order]


def _offsets(planes: Sequence[Plane], normal: FloatArray) -> FloatArray:
    return np.array([plane.position_mm @ normal for plane in planes])


def _check_distinct(ordered: Sequence[Plane]) -> None:
    duplicates = np.flatnonzero(-np.diff(offsets_mm(ordered)) < SAME_POSITION_MM)
    if duplicates.size:
        first, second = ordered[duplicates[0]], ordered[duplicates[0] + 1]
        raise SeriesError(
            f"{format_count(duplicates.size, 'duplicate slice position')}: {first.name} and {second.name} are both at "
            f"{format_position(first.position_mm)} mm",
            hint="send each volume as its own image"
            if first.instance is second.instance
            else "keep only one file for each position",
        )


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


def _check_line(ordered: Sequence[Plane], normal: FloatArray) -> None:
    """Rejects planes whose positions are not on a line along the normal."""
    offsets, perpendicular = _offsets(ordered, normal), _perpendicular_offsets(ordered, normal)
    limit = _TOLERANCE * np.ptp(offsets) / (len(ordered) - 1)
    if np.linalg.norm(perpendicular, axis=1).max() <= limit:
        return
    shear = _shear_vector(ordered, normal)
    residual = np.linalg.norm(perpendicular - np.outer(offsets - offsets.mean(), shear), axis=1)
    if residual.max() <= limit:
        raise SeriesError(
            f"gantry tilt of {np.degrees(np.arctan(np.linalg.norm(shear))):.1f} degrees: slices from "
            f"{ordered[-1].name} to {ordered[0].name} are shifted against each other by "
            f"{np.linalg.norm(shear) * np.ptp(offsets):.1f} mm",
            hint="reconstruct the series without tilt, or correct the tilt first (dcm2niix does)",
        )
    worst = ordered[int(residual.argmax())]
    raise SeriesError(
        f"slice positions are not on one line: {worst.name} at {format_position(worst.position_mm)} mm is "
        f"{residual.max():.2f} mm away from the line through the others"
    )


def _make_perpendicular(orientation: FloatArray, normal: FloatArray) -> FloatArray:
    """Returns row and column directions, rotated so that they are perpendicular to a normal."""
    row = orientation[:3] - (orientation[:3] @ normal) * normal
    row = row / np.linalg.norm(row)
    return np.concatenate([row, np.cross(normal, row)])


def _fit_uniform_slices(aligned: _AlignedPlanes) -> tuple[float, FloatArray]:
    """Returns the slice spacing and the slice coordinates 0, 1, 2, ... of planes with uniform spacing."""
    offsets, steps = aligned.offsets_mm, -np.diff(aligned.offsets_mm)
    _check_missing_slices(aligned)
    index = np.arange(len(offsets), dtype=np.float64)
    spacing, start = np.polynomial.Polynomial.fit(index, offsets, 1).convert().coef[::-1]
    distance = np.abs(offsets - start - spacing * index)
    if distance.max() > _TOLERANCE * -spacing:
        worst = aligned.planes[int(distance.argmax())]
        raise SeriesError(
            f"slice spacing varies from {steps.min():.3f} to {steps.max():.3f} mm: {worst.name} at "
            f"{format_position(worst.position_mm)} mm is {distance.max():.3f} mm away from the uniform grid",
            hint="--repair resample interpolates onto a uniform grid",
        )
    return float(-spacing), index


def _check_missing_slices(aligned: _AlignedPlanes) -> None:
    """Rejects planes with gaps, that is, with steps that are integer multiples of the median step."""
    step = _median_step(aligned)
    ratios = -np.diff(aligned.offsets_mm) / step
    multiples = np.round(ratios)
    if multiples.max() < 2 or np.abs(ratios - multiples).max() > 2 * _TOLERANCE * multiples.max():
        return
    gaps = np.flatnonzero(multiples >= 2)
    above, below = aligned.planes[gaps[0]], aligned.planes[gaps[0] + 1]
    missing = int((multiples[gaps] - 1).sum())
    raise SeriesError(
        f"{format_count(missing, 'missing slice')} in {format_count(gaps.size, 'place')}: between {below.name} at "
        f"{format_position(below.position_mm)} mm and {above.name} at {format_position(above.position_mm)} mm; "
        f"the slice spacing is {step:.3f} mm",
        hint="send the missing slices, or use --repair resample to interpolate across the gap",
    )


def _median_step(aligned: _AlignedPlanes) -> float:
    return float(np.quantile(-np.diff(aligned.offsets_mm), 0.5, method="lower"))


def _resampled_coordinates(aligned: _AlignedPlanes) -> tuple[float, FloatArray]:
    """Returns the median slice spacing, and the coordinate of each plane on the uniform grid with this spacing."""
    offsets, step = aligned.offsets_mm, _median_step(aligned)
    slices = (offsets[0] - offsets) / step
    if slices[-1] > _MAX_UPSAMPLING * len(offsets):
        raise SeriesError(
            f"{len(offsets)} slices over {np.ptp(offsets):.0f} mm with a median spacing of {step:.3f} mm are too few "
            "for interpolation"
        )
    return step, slices


def _make_geometry(
    aligned: _AlignedPlanes, spacing_mm: float, slices: FloatArray, rows: int, columns: int
) -> hd.VolumeGeometry:
    """Returns the grid on which the coordinates ``slices`` are closest to the planes."""
    first = aligned.planes[0]
    positions = np.array([plane.position_mm for plane in aligned.planes])
    position = (positions + np.outer(slices * spacing_mm, aligned.normal)).mean(axis=0)
    return hd.VolumeGeometry.from_attributes(
        image_position=position.tolist(),
        image_orientation=aligned.orientation.tolist(),
        rows=rows,
        columns=columns,
        pixel_spacing=first.pixel_spacing_mm.tolist(),
        spacing_between_slices=spacing_mm,
        number_of_frames=int(np.floor(slices[-1] + 0.5)) + 1,
        coordinate_system="PATIENT",
        frame_of_reference_uid=first.instance.text("FrameOfReferenceUID") or None,
    )
