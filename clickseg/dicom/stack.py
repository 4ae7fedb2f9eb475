"""Fits the uniform grid of a volume to planes, or rejects them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import highdicom as hd
import numpy as np

from clickseg.core.arrays import FloatArray
from clickseg.core.errors import SeriesError
from clickseg.core.text import format_count
from clickseg.dicom.aligned_planes import SPACING_TOLERANCE, AlignedPlanes, align_planes, format_position
from clickseg.dicom.gantry_tilt import PlaneShifts, fit_plane_shifts, shifts_mm
from clickseg.dicom.planes import Plane
from clickseg.dicom.repeated_planes import RepeatedPlanes, repeat_planes

_MAX_UPSAMPLING = 4
"""The largest number of slices after resampling, as a multiple of the number of planes."""

_MAX_REPETITION = 24
"""The largest number of slices after repetition, as a multiple of the number of planes."""

_UNIFORM_HINT = "send the missing slices, or reconstruct the series with a uniform slice spacing"


@dataclass(frozen=True, slots=True)
class Stack:
    """Planes in the order of the slices of a volume.

    Attributes:
        planes: The planes in the slice order of ``highdicom.Volume``: opposite to the slice normal.
        geometry: The fitted uniform grid [K, J, I] (slice, row, column), in LPS mm.
        slice_coordinates: The coordinate of each plane on axis 0 of the geometry: 0, 1, 2, ... unless resampling made
            the grid uniform.
        shifts: The position of each plane in the slices of the geometry, if a gantry tilt was corrected; otherwise
            None, and the pixels of a plane are those of a slice.
    """

    planes: tuple[Plane, ...]
    geometry: hd.VolumeGeometry
    slice_coordinates: FloatArray
    shifts: PlaneShifts | None = None

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns of a plane."""
        if self.shifts is not None:
            return self.shifts.plane_shape
        _, rows, columns = self.geometry.spatial_shape
        return rows, columns

    @property
    def is_resampled(self) -> bool:
        """Whether slices of the geometry are between planes."""
        return not np.array_equal(self.slice_coordinates, np.arange(len(self.planes)))


def make_stack(
    planes: Sequence[Plane], *, rows: int, columns: int, resample: bool, correct_tilt: bool = False
) -> Stack:
    """Orders planes along their common normal and fits a uniform grid to them.

    Args:
        planes: At least one plane, in any order.
        rows: Rows of each plane.
        columns: Columns of each plane.
        resample: Whether missing and unevenly spaced slices are replaced by resampling.
        correct_tilt: Whether a gantry tilt is corrected: planes are shifted onto an upright grid, and repeated on a
            uniform grid if they are missing or unevenly spaced.

    Raises:
        SeriesError: The planes are not on one line, have gaps or are unevenly spaced; the message names files and
            positions.
    """
    aligned = align_planes(planes, correct_tilt=correct_tilt)
    if aligned.tilt_degrees:
        return _make_upright_stack(aligned, rows, columns)
    try:
        spacing_mm, slices = _fit_uniform_slices(aligned)
    except SeriesError:
        if not resample:
            raise
        spacing_mm, slices = _resampled_coordinates(aligned)
    return Stack(aligned.planes, _make_geometry(aligned, spacing_mm, slices, rows, columns), slices)


def _fit_uniform_slices(aligned: AlignedPlanes) -> tuple[float, FloatArray]:
    """Returns the slice spacing and the slice coordinates 0, 1, 2, ... of planes with uniform spacing."""
    offsets, steps = aligned.offsets_mm, -np.diff(aligned.offsets_mm)
    _check_missing_slices(aligned)
    index = np.arange(len(offsets), dtype=np.float64)
    spacing, start = np.polynomial.Polynomial.fit(index, offsets, 1).convert().coef[::-1]
    distance = np.abs(offsets - start - spacing * index)
    if distance.max() > SPACING_TOLERANCE * -spacing:
        worst = aligned.planes[int(distance.argmax())]
        raise SeriesError(
            f"slice spacing varies from {steps.min():.3f} to {steps.max():.3f} mm: {worst.name} at "
            f"{format_position(worst.position_mm)} mm is {distance.max():.3f} mm away from the uniform grid",
            hint="--repair resample interpolates onto a uniform grid",
        )
    return float(-spacing), index


def _check_missing_slices(aligned: AlignedPlanes) -> None:
    """Rejects planes with gaps, that is, with steps that are integer multiples of the median step."""
    step = _median_step(aligned)
    ratios = -np.diff(aligned.offsets_mm) / step
    multiples = np.round(ratios)
    if multiples.max() < 2 or np.abs(ratios - multiples).max() > 2 * SPACING_TOLERANCE * multiples.max():
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


def _median_step(aligned: AlignedPlanes) -> float:
    return float(np.quantile(-np.diff(aligned.offsets_mm), 0.5, method="lower"))


def _resampled_coordinates(aligned: AlignedPlanes) -> tuple[float, FloatArray]:
    """Returns the median slice spacing, and the coordinate of each plane on the uniform grid with this spacing."""
    offsets, step = aligned.offsets_mm, _median_step(aligned)
    slices = (offsets[0] - offsets) / step
    if slices[-1] > _MAX_UPSAMPLING * len(offsets):
        raise SeriesError(
            f"{len(offsets)} slices over {np.ptp(offsets):.0f} mm with a median spacing of {step:.3f} mm are too few "
            "for interpolation",
            hint=_UNIFORM_HINT,
        )
    return step, slices


def _make_upright_stack(aligned: AlignedPlanes, rows: int, columns: int) -> Stack:
    """Returns the stack of tilted planes: an upright grid, in whose slices each plane is shifted.

    Raises:
        SeriesError: The spacing of the planes differs too much for a uniform grid.
    """
    try:
        spacing_mm, slices = _fit_uniform_slices(aligned)
        count = len(slices)
    except SeriesError:
        repeated = repeat_planes(-np.diff(aligned.offsets_mm))
        spacing_mm, slices, count = repeated.spacing_mm, repeated.slice_coordinates, repeated.slice_count
        _check_repetition(aligned, repeated)
    shifts = fit_plane_shifts(aligned.planes, aligned.orientation, aligned.tilt_degrees, (rows, columns))
    offsets = shifts_mm(shifts, aligned.orientation, aligned.planes[0].pixel_spacing_mm)
    first_pixels = [
        replace(plane, position_mm=plane.position_mm - offset)
        for plane, offset in zip(aligned.planes, offsets, strict=True)
    ]
    upright = replace(aligned, planes=tuple(first_pixels))
    geometry = _make_geometry(upright, spacing_mm, slices, *shifts.slice_shape, slice_count=count)
    return Stack(aligned.planes, geometry, slices, shifts)


def _check_repetition(aligned: AlignedPlanes, repeated: RepeatedPlanes) -> None:
    steps = -np.diff(aligned.offsets_mm)
    if repeated.slice_count > _MAX_REPETITION * len(aligned.planes):
        raise SeriesError(
            f"slice spacings from {steps.min():.3f} to {steps.max():.3f} mm differ too much for a uniform grid, which "
            f"would have {repeated.slice_count} slices for {len(aligned.planes)} images",
            hint=_UNIFORM_HINT,
        )


def _make_geometry(
    aligned: AlignedPlanes,
    spacing_mm: float,
    slices: FloatArray,
    rows: int,
    columns: int,
    slice_count: int | None = None,
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
        number_of_frames=slice_count or int(np.floor(slices[-1] + 0.5)) + 1,
        coordinate_system="PATIENT",
        frame_of_reference_uid=first.instance.text("FrameOfReferenceUID") or None,
    )
