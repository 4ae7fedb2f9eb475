"""From planes to the uniform grid of a volume: they lie above each other along one normal, or an error says why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import highdicom as hd
import numpy as np

from clickseg.core.arrays import Doubles
from clickseg.core.errors import SeriesError
from clickseg.core.text import counted
from clickseg.dicom.planes import Plane

_TOLERANCE = 0.05
"""How far a slice may lie from the fitted uniform grid, as a part of the slice spacing: real PET jitters by 2 %."""

SAME_POSITION_MM = 0.01
"""Closer positions are the same one."""

_SAME_ORIENTATION = 1e-3
_SAME_SPACING = 1e-3
_ROUNDED_DEGREES = 0.1
"""A tilt up to here is no tilt but cosines that were rounded to three decimals; positions are more exact than they."""

_MAX_UPSAMPLING = 4


@dataclass(frozen=True, slots=True)
class Stack:
    """Planes in the order of the slices of a volume.

    Attributes:
        planes: The planes, in the order in which ``highdicom.Volume`` stacks slices: against the slice normal.
        geometry: The uniform grid [K, J, I] (slice, row, column) that fits them, in LPS mm.
        slices: For each plane its place on axis 0 of the geometry: 0, 1, 2, ... unless the grid was made uniform by
            resampling.
    """

    planes: tuple[Plane, ...]
    geometry: hd.VolumeGeometry
    slices: Doubles

    @property
    def is_resampled(self) -> bool:
        """Whether slices of the geometry lie between planes."""
        return not np.array_equal(self.slices, np.arange(len(self.planes)))


def make_stack(planes: Sequence[Plane], *, rows: int, columns: int, resample: bool) -> Stack:
    """Orders planes along their common normal and fits a uniform grid to them.

    Args:
        planes: At least one plane, in any order.
        rows: Rows of each plane.
        columns: Columns of each plane.
        resample: Whether missing and unevenly spaced slices are made up for by resampling.

    Raises:
        SeriesError: The planes do not lie above each other, have gaps or are unevenly spaced; the message names files
            and positions.
    """
    aligned = _align(planes)
    try:
        spacing_mm, slices = _even_slices(aligned)
    except SeriesError:
        if not resample:
            raise
        spacing_mm, slices = _resampled_slices(aligned)
    return Stack(aligned.planes, _geometry(aligned, spacing_mm, slices, rows, columns), slices)


def offsets_mm(planes: Sequence[Plane]) -> Doubles:
    """Returns each plane's position along the normal of the first, in mm."""
    return _offsets(planes, planes[0].normal)


def point(position_mm: Doubles) -> str:
    """Returns a position as messages show it."""
    return "(" + ", ".join(f"{value:.2f}" for value in position_mm) + ")"


def _align(planes: Sequence[Plane]) -> _Aligned:
    """Orders planes along the line that their positions form.

    Args:
        planes: At least one plane, in any order.

    Raises:
        SeriesError: The planes are too few, differ in orientation or spacing, coincide, are sheared (gantry tilt) or do
            not lie above each other; the message names files and positions.
    """
    if len(planes) < 2:
        raise SeriesError(f"{planes[0].name}: one slice is no volume: expected at least 2, got {len(planes)}")
    _check_parallel(planes)
    _check_pixel_spacing(planes)
    ordered = _ordered(planes, planes[0].normal)
    _check_distinct(ordered)
    normal = _normal(ordered)
    _check_line(ordered, normal)
    return _Aligned(tuple(ordered), _perpendicular(ordered[0].orientation, normal), _offsets(ordered, normal))


@dataclass(frozen=True, slots=True)
class _Aligned:
    """Planes in the order of the slices of a volume.

    Attributes:
        planes: The planes, in the order in which ``highdicom.Volume`` stacks slices: against the slice normal.
        orientation: The direction cosines of rows and columns that they share, perpendicular to their line.
        offsets_mm: The position of each along the normal.
    """

    planes: tuple[Plane, ...]
    orientation: Doubles
    offsets_mm: Doubles

    @property
    def normal(self) -> Doubles:
        """The unit vector along which offsets grow, in LPS."""
        return np.cross(self.orientation[:3], self.orientation[3:])


def _check_parallel(planes: Sequence[Plane]) -> None:
    groups = _groups([plane.orientation for plane in planes], _SAME_ORIENTATION)
    if len(groups) > 1:
        raise SeriesError(
            f"{len(groups)} orientations in one series: {_examples(planes, groups, 'ImageOrientationPatient')}",
            hint="send each orientation as a series of its own",
        )


def _groups(vectors: Sequence[Doubles], tolerance: float) -> list[list[int]]:
    """Groups vectors by the first one that they equal within a tolerance."""
    groups: list[list[int]] = []
    for index, vector in enumerate(vectors):
        for group in groups:
            if np.abs(vector - vectors[group[0]]).max() <= tolerance:
                group.append(index)
                break
        else:
            groups.append([index])
    return groups


def _examples(planes: Sequence[Plane], groups: Sequence[Sequence[int]], keyword: str) -> str:
    firsts = [(len(group), planes[group[0]]) for group in groups[:3]]
    return "; ".join(
        f"{count} such as {plane.name} ({keyword} {[float(value) for value in plane.get(keyword)]})"
        for count, plane in firsts
    )


def _check_pixel_spacing(planes: Sequence[Plane]) -> None:
    scale = planes[0].pixel_spacing_mm
    groups = _groups([plane.pixel_spacing_mm / scale for plane in planes], _SAME_SPACING)
    if len(groups) > 1:
        raise SeriesError(f"{len(groups)} pixel spacings in one series: {_examples(planes, groups, 'PixelSpacing')}")


def _ordered(planes: Sequence[Plane], normal: Doubles) -> list[Plane]:
    order = np.argsort(-_offsets(planes, normal), kind="stable")
    return [planes[index] for index in order]


def _offsets(planes: Sequence[Plane], normal: Doubles) -> Doubles:
    return np.array([plane.position_mm @ normal for plane in planes])


def _check_distinct(ordered: Sequence[Plane]) -> None:
    same = np.flatnonzero(-np.diff(offsets_mm(ordered)) < SAME_POSITION_MM)
    if same.size:
        first, second = ordered[same[0]], ordered[same[0] + 1]
        raise SeriesError(
            f"{counted(same.size, 'position')} taken twice: {first.name} and {second.name} both lie at "
            f"{point(first.position_mm)} mm",
            hint="keep one of the files for each position",
        )


def _normal(ordered: Sequence[Plane]) -> Doubles:
    """Returns the direction of the line through the positions, where it is the planes' normal but for rounding."""
    normal = ordered[0].normal
    shear = _shear(ordered, normal)
    if np.degrees(np.arctan(np.linalg.norm(shear))) > _ROUNDED_DEGREES:
        return normal
    line: Doubles = (normal + shear) / np.linalg.norm(normal + shear)
    return line


def _shear(ordered: Sequence[Plane], normal: Doubles) -> Doubles:
    """Returns how far positions move sideways for each mm along a normal."""
    offsets = _offsets(ordered, normal)
    along = offsets - offsets.mean()
    slope: Doubles = along @ _sideways(ordered, normal) / (along @ along)
    return slope


def _sideways(ordered: Sequence[Plane], normal: Doubles) -> Doubles:
    """Returns where positions lie beside their mean, perpendicular to a normal [N, 3]."""
    positions = np.array([plane.position_mm for plane in ordered])
    sideways = positions - np.outer(positions @ normal, normal)
    return np.asarray(sideways - sideways.mean(axis=0))


def _check_line(ordered: Sequence[Plane], normal: Doubles) -> None:
    """Refuses a stack that is not stacked along its own normal."""
    offsets, sideways = _offsets(ordered, normal), _sideways(ordered, normal)
    limit = _TOLERANCE * np.ptp(offsets) / (len(ordered) - 1)
    if np.linalg.norm(sideways, axis=1).max() <= limit:
        return
    shear = _shear(ordered, normal)
    rest = np.linalg.norm(sideways - np.outer(offsets - offsets.mean(), shear), axis=1)
    if rest.max() <= limit:
        raise SeriesError(
            f"gantry tilt of {np.degrees(np.arctan(np.linalg.norm(shear))):.1f} degrees: slices from "
            f"{ordered[-1].name} to {ordered[0].name} are shifted against each other by "
            f"{np.linalg.norm(shear) * np.ptp(offsets):.1f} mm",
            hint="reconstruct the series without tilt, or correct the tilt first (dcm2niix does)",
        )
    worst = ordered[int(rest.argmax())]
    raise SeriesError(
        f"slices do not lie above each other: {worst.name} at {point(worst.position_mm)} mm is {rest.max():.2f} mm "
        "beside the line through the others"
    )


def _perpendicular(orientation: Doubles, normal: Doubles) -> Doubles:
    """Returns row and column directions turned so that they are perpendicular to a normal."""
    row = orientation[:3] - (orientation[:3] @ normal) * normal
    row = row / np.linalg.norm(row)
    return np.concatenate([row, np.cross(normal, row)])


def _even_slices(aligned: _Aligned) -> tuple[float, Doubles]:
    """Returns the slice spacing, and 0, 1, 2, ..., of a stack that is uniform within the tolerance."""
    offsets, steps = aligned.offsets_mm, -np.diff(aligned.offsets_mm)
    _check_missing(aligned)
    index = np.arange(len(offsets), dtype=np.float64)
    spacing, start = np.polynomial.Polynomial.fit(index, offsets, 1).convert().coef[::-1]
    distance = np.abs(offsets - start - spacing * index)
    if distance.max() > _TOLERANCE * -spacing:
        worst = aligned.planes[int(distance.argmax())]
        raise SeriesError(
            f"slice spacing varies from {steps.min():.3f} to {steps.max():.3f} mm: {worst.name} at "
            f"{point(worst.position_mm)} mm lies {distance.max():.3f} mm off the uniform grid",
            hint="--remedy resample interpolates onto a uniform grid",
        )
    return float(-spacing), index


def _check_missing(aligned: _Aligned) -> None:
    """Refuses a stack whose steps are whole multiples of the median one, with gaps."""
    step = _median_step(aligned)
    ratios = -np.diff(aligned.offsets_mm) / step
    whole = np.round(ratios)
    if whole.max() < 2 or np.abs(ratios - whole).max() > 2 * _TOLERANCE * whole.max():
        return
    gaps = np.flatnonzero(whole >= 2)
    above, below = aligned.planes[gaps[0]], aligned.planes[gaps[0] + 1]
    missing = int((whole[gaps] - 1).sum())
    raise SeriesError(
        f"{counted(missing, 'missing slice')} in {counted(gaps.size, 'place')}: between {below.name} at "
        f"{point(below.position_mm)} mm and {above.name} at {point(above.position_mm)} mm, where slices are "
        f"{step:.3f} mm apart",
        hint="send the missing slices, or --remedy resample interpolates across the gap",
    )


def _median_step(aligned: _Aligned) -> float:
    return float(np.quantile(-np.diff(aligned.offsets_mm), 0.5, method="lower"))


def _resampled_slices(aligned: _Aligned) -> tuple[float, Doubles]:
    """Returns the median slice spacing, and where on the uniform grid of that spacing each plane lies."""
    offsets, step = aligned.offsets_mm, _median_step(aligned)
    slices = (offsets[0] - offsets) / step
    if slices[-1] > _MAX_UPSAMPLING * len(offsets):
        raise SeriesError(
            f"{len(offsets)} slices over {np.ptp(offsets):.0f} mm with a median spacing of {step:.3f} mm are too few "
            "to interpolate between"
        )
    return step, slices


def _geometry(aligned: _Aligned, spacing_mm: float, slices: Doubles, rows: int, columns: int) -> hd.VolumeGeometry:
    """Returns the grid whose slices, at ``slices``, lie closest to the planes."""
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
