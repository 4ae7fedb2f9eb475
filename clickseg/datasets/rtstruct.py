"""Rasterizes the contours of an RTSTRUCT to class numbers, on the grid of its series (PS3.3, C.8.8.6)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import highdicom as hd
import numpy as np
from pydicom import Dataset

from clickseg.core.arrays import FloatArray, Mask
from clickseg.core.errors import InputError
from clickseg.datasets.regions import ClassNames, NamedRegion, assign_classes

_LESION_TYPES = ("", "GTV", "NONE")
"""RT ROI Interpreted Types (3006,00A4) of regions that can be a lesion; CTV and PTV include margins."""

_CLOSED_TYPES = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_POINT_TYPE = "POINT"
_PLANE_TOLERANCE = 0.2
"""The largest distance of a contour from its slice, as a fraction of the slice spacing."""


def rasterize_contours(structures: Dataset, volume: hd.Volume, class_names: ClassNames, name: str) -> hd.Volume:
    """Returns the class numbers, uint8, of the voxels whose centres are inside the contours of an RTSTRUCT.

    Contours of one region in one slice are combined by exclusive or: a contour inside a contour is a hole. If regions
    overlap, the later class is used.

    Args:
        structures: The RTSTRUCT.
        volume: The series that the RTSTRUCT refers to; the result is on its grid.
        class_names: The names of each class.
        name: The name of the RTSTRUCT, for messages.

    Raises:
        InputError: No region belongs to a class, or contours are not in the slices of the series.
    """
    truth = np.zeros(volume.spatial_shape, np.uint8)
    for number, class_number in assign_classes(_list_regions(structures), class_names, name):
        _check_frame_of_reference(structures, number, volume, name)
        truth[_region_mask(structures, number, volume, name)] = class_number
    return volume.with_array(truth)


def rasterize_polygons(polygons: Iterable[FloatArray], shape: tuple[int, int]) -> Mask:
    """Returns the pixels [J, I] whose centres are inside an odd number of closed polygons (even-odd rule).

    An edge that crosses a row inverts inside and outside for all pixels of the row after the crossing.

    Args:
        polygons: Corners [N, 2] as row and column; integers are the centres of pixels.
        shape: The numbers of rows and columns.
    """
    crossings = np.zeros((shape[0], shape[1] + 1), np.uint32)
    for corners in polygons:
        for (row, column), (next_row, next_column) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            low, high = np.clip(np.ceil(np.sort([row, next_row])), 0, shape[0]).astype(int)
            rows = np.arange(low, high)  # if two edges meet on a row, only one of them crosses it
            if rows.size:
                crossing = column + (rows - row) * (next_column - column) / (next_row - row)
                crossings[rows, np.clip(np.ceil(crossing), 0, shape[1]).astype(int)] += 1
    inside: Mask = (np.cumsum(crossings[:, :-1], axis=1) % 2).astype(bool)
    return inside


def _list_regions(structures: Dataset) -> list[NamedRegion]:
    types = {
        item.ReferencedROINumber: str(item.get("RTROIInterpretedType") or "").strip().upper()
        for item in structures.get("RTROIObservationsSequence") or ()
    }
    return [
        NamedRegion(item.ROINumber, str(item.get("ROIName") or ""), types.get(item.ROINumber, "") in _LESION_TYPES)
        for item in structures.get("StructureSetROISequence") or ()
    ]


def _check_frame_of_reference(structures: Dataset, number: int, volume: hd.Volume, name: str) -> None:
    (item,) = (item for item in structures.StructureSetROISequence if number == item.ROINumber)
    frame_uids = {item.get("ReferencedFrameOfReferenceUID") or None, volume.frame_of_reference_uid} - {None}
    if len(frame_uids) > 1:
        raise InputError(f"{name}: region {number}: expected the frame of reference of the series, got another one")


def _region_mask(structures: Dataset, number: int, volume: hd.Volume, name: str) -> Mask:
    slices: dict[int, list[FloatArray]] = defaultdict(list)
    for contour in _contours(structures, number):
        where = f"{name}: region {number}"
        corners = volume.map_reference_to_indices(_corners_mm(contour, where))
        slices[_slice_index(corners, volume, where)].append(corners[:, 1:])
    mask = np.zeros(volume.spatial_shape, bool)
    for index, polygons in slices.items():
        mask[index] = rasterize_polygons(polygons, volume.spatial_shape[1:])
    return mask


def _contours(structures: Dataset, number: int) -> Iterator[Dataset]:
    for item in structures.get("ROIContourSequence") or ():
        if item.ReferencedROINumber == number:
            contours = item.get("ContourSequence") or ()
            yield from (contour for contour in contours if contour.get("ContourGeometricType") != _POINT_TYPE)


def _corners_mm(contour: Dataset, where: str) -> FloatArray:
    """Returns the corners [N, 3] of a closed contour, in LPS mm."""
    kind = contour.get("ContourGeometricType")
    if kind not in _CLOSED_TYPES:
        raise InputError(f"{where}: ContourGeometricType (3006,0042): expected CLOSED_PLANAR, got {kind or 'none'}")
    numbers = np.array(contour.get("ContourData") or (), dtype=float)
    if numbers.size < 9 or numbers.size % 3 or not np.isfinite(numbers).all():
        raise InputError(
            f"{where}: ContourData (3006,0050): expected at least 3 points (9 numbers), got {numbers.size} numbers"
        )
    return numbers.reshape(-1, 3)


def _slice_index(corners: FloatArray, volume: hd.Volume, where: str) -> int:
    """Returns the slice index of a contour; its corners [N, 3] are voxel indices [K, J, I] of the series."""
    if ((corners < -1) | (corners > volume.spatial_shape)).any():
        raise InputError(f"{where}: a contour is outside of the image")
    index = int(np.rint(corners[:, 0].mean()))
    offset = float(np.abs(corners[:, 0] - index).max())
    if offset > _PLANE_TOLERANCE or not 0 <= index < volume.spatial_shape[0]:
        raise InputError(
            f"{where}: expected contours in the slices of the image, got one {offset * volume.spacing[0]:.2f} mm away",
            hint="the images of the case must include the series of the RTSTRUCT",
        )
    return index
