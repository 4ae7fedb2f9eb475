"""From aligned planes to the uniform grid of a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import highdicom as hd
import numpy as np

from clickseg.arrays import Doubles
from clickseg.dicom.alignment import TOLERANCE, Aligned, align, point
from clickseg.dicom.planes import Plane
from clickseg.errors import SeriesError
from clickseg.wording import counted

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
    aligned = align(planes)
    try:
        spacing_mm, slices = _even_slices(aligned)
    except SeriesError:
        if not resample:
            raise
        spacing_mm, slices = _resampled_slices(aligned)
    return Stack(aligned.planes, _geometry(aligned, spacing_mm, slices, rows, columns), slices)


def _even_slices(aligned: Aligned) -> tuple[float, Doubles]:
    """Returns the slice spacing, and 0, 1, 2, ..., of a stack that is uniform within the tolerance."""
    offsets, steps = aligned.offsets_mm, -np.diff(aligned.offsets_mm)
    _check_missing(aligned)
    index = np.arange(len(offsets), dtype=np.float64)
    spacing, start = np.polynomial.Polynomial.fit(index, offsets, 1).convert().coef[::-1]
    distance = np.abs(offsets - start - spacing * index)
    if distance.max() > TOLERANCE * -spacing:
        worst = aligned.planes[int(distance.argmax())]
        raise SeriesError(
            f"slice spacing varies from {steps.min():.3f} to {steps.max():.3f} mm: {worst.name} at "
            f"{point(worst.position_mm)} mm lies {distance.max():.3f} mm off the uniform grid",
            hint="--remedy resample interpolates onto a uniform grid",
        )
    return float(-spacing), index


def _median_step(aligned: Aligned) -> float:
    return float(np.quantile(-np.diff(aligned.offsets_mm), 0.5, method="lower"))


def _check_missing(aligned: Aligned) -> None:
    """Refuses a stack whose steps are whole multiples of the median one, with gaps."""
    step = _median_step(aligned)
    ratios = -np.diff(aligned.offsets_mm) / step
    whole = np.round(ratios)
    if whole.max() < 2 or np.abs(ratios - whole).max() > 2 * TOLERANCE * whole.max():
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


def _resampled_slices(aligned: Aligned) -> tuple[float, Doubles]:
    """Returns the median slice spacing, and where on the uniform grid of that spacing each plane lies."""
    offsets, step = aligned.offsets_mm, _median_step(aligned)
    slices = (offsets[0] - offsets) / step
    if slices[-1] > _MAX_UPSAMPLING * len(offsets):
        raise SeriesError(
            f"{len(offsets)} slices over {np.ptp(offsets):.0f} mm with a median spacing of {step:.3f} mm are too few "
            "to interpolate between"
        )
    return step, slices


def _geometry(aligned: Aligned, spacing_mm: float, slices: Doubles, rows: int, columns: int) -> hd.VolumeGeometry:
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
