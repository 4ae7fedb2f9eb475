"""Contours of an RTSTRUCT as class numbers, on the grid of the series that they were drawn on (PS3.3, C.8.8.6)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import highdicom as hd
import numpy as np
from pydicom import Dataset

from clickseg.core.arrays import Doubles, Mask
from clickseg.core.errors import InputError
from clickseg.datasets.regions import Classes, Region, class_of_each

_TARGETS = ("", "GTV", "NONE")
"""RT ROI Interpreted Types (3006,00A4) of what is looked for; CTV and PTV are margins around it."""

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_NO_AREA = "POINT"
_OFF_PLANE = 0.2
"""How far a contour may lie from the slice that it was drawn on, as a part of the slice spacing."""


def contoured(structures: Dataset, volume: hd.Volume, classes: Classes, name: str) -> hd.Volume:
    """Returns the class numbers of the voxels whose centres lie in a structure set's contours.

    Contours of one region in one slice take each other out (a hole in a contour); where regions overlap, the later
    class counts.

    Args:
        structures: The RTSTRUCT.
        volume: The series that it was drawn on.
        classes: The names that each class has.
        name: What to call it in messages.

    Raises:
        InputError: It has none of the regions, or contours that are not in the planes of the series.
    """
    truth = np.zeros(volume.spatial_shape, np.uint8)
    for number, class_number in class_of_each(_regions(structures), classes, name):
        _check_frame(structures, number, volume, name)
        truth[_mask(structures, number, volume, name)] = class_number
    return volume.with_array(truth)


def inside(polygons: Iterable[Doubles], shape: tuple[int, int]) -> Mask:
    """Returns the pixels [J, I] whose centres lie in an odd number of closed polygons.

    Along a row, each edge that crosses it turns inside to outside for all pixels from there on.

    Args:
        polygons: Corners [N, 2] as row and column, where whole numbers are the centres of pixels.
        shape: Rows and columns.
    """
    turns = np.zeros((shape[0], shape[1] + 1), np.uint32)
    for corners in polygons:
        for (row, column), (next_row, next_column) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            low, high = np.clip(np.ceil(np.sort([row, next_row])), 0, shape[0]).astype(int)
            rows = np.arange(low, high)  # of two edges that meet on a row, one counts there
            if rows.size:
                crossed = column + (rows - row) * (next_column - column) / (next_row - row)
                turns[rows, np.clip(np.ceil(crossed), 0, shape[1]).astype(int)] += 1
    within: Mask = (np.cumsum(turns[:, :-1], axis=1) % 2).astype(bool)
    return within


def _regions(structures: Dataset) -> list[Region]:
    types = {
        item.ReferencedROINumber: str(item.get("RTROIInterpretedType") or "").strip().upper()
        for item in structures.get("RTROIObservationsSequence") or ()
    }
    return [
        Region(item.ROINumber, str(item.get("ROIName") or ""), types.get(item.ROINumber, "") in _TARGETS)
        for item in structures.get("StructureSetROISequence") or ()
    ]


def _check_frame(structures: Dataset, number: int, volume: hd.Volume, name: str) -> None:
    (item,) = (item for item in structures.StructureSetROISequence if number == item.ROINumber)
    frames = {item.get("ReferencedFrameOfReferenceUID") or None, volume.frame_of_reference_uid} - {None}
    if len(frames) > 1:
        raise InputError(f"{name}: region {number}: expected the frame of reference of the series, got another one")


def _mask(structures: Dataset, number: int, volume: hd.Volume, name: str) -> Mask:
    slices: dict[int, list[Doubles]] = defaultdict(list)
    for contour in _contours(structures, number):
        where = f"{name}: region {number}"
        corners = volume.map_reference_to_indices(_corners(contour, where))
        slices[_slice_of(corners, volume, where)].append(corners[:, 1:])
    mask = np.zeros(volume.spatial_shape, bool)
    for index, polygons in slices.items():
        mask[index] = inside(polygons, volume.spatial_shape[1:])
    return mask


def _contours(structures: Dataset, number: int) -> Iterator[Dataset]:
    for item in structures.get("ROIContourSequence") or ():
        if item.ReferencedROINumber == number:
            contours = item.get("ContourSequence") or ()
            yield from (contour for contour in contours if contour.get("ContourGeometricType") != _NO_AREA)


def _corners(contour: Dataset, where: str) -> Doubles:
    """Returns the corners [N, 3] of a closed contour, in LPS mm."""
    kind = contour.get("ContourGeometricType")
    if kind not in _CLOSED:
        raise InputError(f"{where}: ContourGeometricType (3006,0042): expected CLOSED_PLANAR, got {kind or 'nothing'}")
    numbers = np.array(contour.get("ContourData") or (), dtype=float)
    if numbers.size < 9 or numbers.size % 3 or not np.isfinite(numbers).all():
        raise InputError(f"{where}: ContourData (3006,0050): expected three points or more, got {numbers.size} numbers")
    return numbers.reshape(-1, 3)


def _slice_of(corners: Doubles, volume: hd.Volume, where: str) -> int:
    """Returns the slice that a contour lies in, by its corners as indices."""
    if ((corners < -1) | (corners > volume.spatial_shape)).any():
        raise InputError(f"{where}: a contour lies outside of the image")
    index = int(np.rint(corners[:, 0].mean()))
    off = float(np.abs(corners[:, 0] - index).max())
    if off > _OFF_PLANE or not 0 <= index < volume.spatial_shape[0]:
        raise InputError(
            f"{where}: expected contours in the slices of the image, got one {off * volume.spacing[0]:.2f} mm beside",
            hint="the series that it was drawn on must be among the images",
        )
    return index
