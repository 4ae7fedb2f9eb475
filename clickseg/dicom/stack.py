"""From image planes to one uniform stack, or an error that says why they are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import highdicom as hd
import numpy as np

from clickseg.arrays import Doubles
from clickseg.dicom.planes import Plane
from clickseg.errors import SeriesError
from clickseg.wording import counted

TOLERANCE = 0.05
"""How far a slice may lie from the fitted uniform grid, as a part of the slice spacing: real PET jitters by 2 %."""

_SAME_POSITION_MM = 0.01
_SAME_ORIENTATION = 1e-3
_SAME_SPACING = 1e-3
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
        SeriesError: The planes are too few, differ in orientation or spacing, coincide, are sheared (gantry tilt),
            have gaps or are unevenly spaced; the message names files and positions.
    """
    _check_count(planes)
    _check_parallel(planes)
    _check_pixel_spacing(planes)
    ordered = _ordered(planes)
    _check_distinct(ordered)
    _check_line(ordered)
    spacing, slices = _uniform_slices(ordered) if resample else _even_slices(ordered)
    return Stack(tuple(ordered), _geometry(ordered, spacing, slices, rows, columns), slices)


def _check_count(planes: Sequence[Plane]) -> None:
    if len(planes) < 2:
        raise SeriesError(f"{planes[0].name}: one slice is no volume: expected at least 2, got {len(planes)}")


def _check_parallel(planes: Sequence[Plane]) -> None:
    groups = _groups([plane.orientation for plane in planes], _SAME_ORIENTATION)
    if len(groups) > 1:
        raise SeriesError(
            f"{len(groups)} orientations in one series: {_examples(planes, groups, 'ImageOrientationPatient')}",
            hint="if these are localizers, send each orientation as a series of its own, or --remedy drop-localizers",
        )


def _check_pixel_spacing(planes: Sequence[Plane]) -> None:
    scale = planes[0].pixel_spacing_mm
    groups = _groups([plane.pixel_spacing_mm / scale for plane in planes], _SAME_SPACING)
    if len(groups) > 1:
        raise SeriesError(f"{len(groups)} pixel spacings in one series: {_examples(planes, groups, 'PixelSpacing')}")


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
    return "; ".join(
        f"{len(group)} such as {planes[group[0]].name} ({keyword} {[float(x) for x in planes[group[0]].get(keyword)]})"
        for group in groups[:3]
    )


def _offsets(planes: Sequence[Plane]) -> Doubles:
    """Returns each plane's position along the normal, in mm."""
    normal = planes[0].normal
    return np.array([plane.position_mm @ normal for plane in planes])


def _ordered(planes: Sequence[Plane]) -> list[Plane]:
    order = np.argsort(-_offsets(planes), kind="stable")
    return [planes[index] for index in order]


def _check_distinct(ordered: Sequence[Plane]) -> None:
    steps = -np.diff(_offsets(ordered))
    same = np.flatnonzero(steps < _SAME_POSITION_MM)
    if same.size:
        first, second = ordered[same[0]], ordered[same[0] + 1]
        raise SeriesError(
            f"{counted(same.size, 'position')} taken twice: {first.name} and {second.name} both lie at "
            f"{_point(first.position_mm)} mm",
            hint="keep one of the files for each position",
        )


def _check_line(ordered: Sequence[Plane]) -> None:
    """Refuses a stack that is not stacked along its own normal."""
    offsets, normal = _offsets(ordered), ordered[0].normal
    sideways = np.array([plane.position_mm for plane in ordered]) - np.outer(offsets, normal)
    sideways -= sideways.mean(axis=0)
    limit = TOLERANCE * abs(offsets[0] - offsets[-1]) / (len(ordered) - 1)
    if np.linalg.norm(sideways, axis=1).max() <= limit:
        return
    along = offsets - offsets.mean()
    slope = along @ sideways / (along @ along)
    rest = np.linalg.norm(sideways - np.outer(along, slope), axis=1)
    if rest.max() <= limit:
        angle = np.degrees(np.arctan(np.linalg.norm(slope)))
        raise SeriesError(
            f"gantry tilt of {angle:.1f} degrees: slices from {ordered[-1].name} to {ordered[0].name} are shifted "
            f"against each other by {np.linalg.norm(slope) * np.ptp(offsets):.1f} mm",
            hint="reconstruct the series without tilt, or correct the tilt first (dcm2niix does)",
        )
    worst = ordered[int(rest.argmax())]
    raise SeriesError(
        f"slices do not lie above each other: {worst.name} at {_point(worst.position_mm)} mm is "
        f"{rest.max():.2f} mm beside the line through the others"
    )


def _even_slices(ordered: Sequence[Plane]) -> tuple[float, Doubles]:
    """Returns the slice spacing, and 0, 1, 2, ..., of a stack that is uniform within the tolerance."""
    offsets = _offsets(ordered)
    steps = -np.diff(offsets)
    step = float(np.quantile(steps, 0.5, method="lower"))
    _check_missing(ordered, steps / step, step)
    index = np.arange(len(ordered), dtype=np.float64)
    spacing, start = np.polynomial.Polynomial.fit(index, offsets, 1).convert().coef[::-1]
    distance = np.abs(offsets - start - spacing * index)
    if distance.max() > TOLERANCE * -spacing:
        worst = ordered[int(distance.argmax())]
        raise SeriesError(
            f"slice spacing varies from {steps.min():.3f} to {steps.max():.3f} mm: {worst.name} at "
            f"{_point(worst.position_mm)} mm lies {distance.max():.3f} mm off the uniform grid",
            hint="--remedy resample interpolates onto a uniform grid",
        )
    return float(-spacing), index


def _check_missing(ordered: Sequence[Plane], ratios: Doubles, step: float) -> None:
    whole = np.round(ratios)
    if whole.max() < 2 or np.abs(ratios - whole).max() > 2 * TOLERANCE * whole.max():
        return
    gaps = np.flatnonzero(whole >= 2)
    first, second = ordered[gaps[0]], ordered[gaps[0] + 1]
    missing = int((whole[gaps] - 1).sum())
    raise SeriesError(
        f"{counted(missing, 'missing slice')} in {counted(gaps.size, 'place')}: between {second.name} at "
        f"{_point(second.position_mm)} mm and {first.name} at {_point(first.position_mm)} mm, where slices are "
        f"{step:.3f} mm apart",
        hint="send the missing slices, or --remedy resample interpolates across the gap",
    )


def _uniform_slices(ordered: Sequence[Plane]) -> tuple[float, Doubles]:
    """Returns the median slice spacing, and where on the uniform grid of that spacing each plane lies."""
    offsets = _offsets(ordered)
    steps = -np.diff(offsets)
    if np.abs(steps - steps.mean()).max() <= TOLERANCE * steps.mean():
        return _even_slices(ordered)
    step = float(np.quantile(steps, 0.5, method="lower"))
    slices = (offsets[0] - offsets) / step
    if slices[-1] > _MAX_UPSAMPLING * len(ordered):
        raise SeriesError(
            f"{len(ordered)} slices over {np.ptp(offsets):.0f} mm with a median spacing of {step:.3f} mm are too few "
            f"to interpolate between"
        )
    return step, slices


def _geometry(ordered: Sequence[Plane], spacing: float, slices: Doubles, rows: int, columns: int) -> hd.VolumeGeometry:
    """Returns the grid whose slices, at ``slices``, lie closest to the planes."""
    normal = ordered[0].normal
    positions = np.array([plane.position_mm for plane in ordered])
    position = (positions + np.outer(slices * spacing, normal)).mean(axis=0)
    return hd.VolumeGeometry.from_attributes(
        image_position=position.tolist(),
        image_orientation=ordered[0].orientation.tolist(),
        rows=rows,
        columns=columns,
        pixel_spacing=ordered[0].pixel_spacing_mm.tolist(),
        spacing_between_slices=spacing,
        number_of_frames=int(np.floor(slices[-1] + 0.5)) + 1,
        coordinate_system="PATIENT",
        frame_of_reference_uid=ordered[0].instance.text("FrameOfReferenceUID") or None,
    )


def _point(position_mm: Doubles) -> str:
    return "(" + ", ".join(f"{value:.2f}" for value in position_mm) + ")"
