"""Reads the segments of a DICOM SEG as class numbers (PS3.3, A.51): binary, fractional (threshold 0.5), label map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from clickseg.core.arrays import FloatArray, Mask
from clickseg.core.errors import InputError
from clickseg.datasets.regions import ClassNames, NamedRegion, assign_classes
from clickseg.dicom.planes import frame_attribute
from clickseg.dicom.series import MAX_VOXELS

_ANATOMICAL_STRUCTURE_CODES = (("SCT", "123037004"), ("SCT", "91723000"), ("SRT", "T-D000A"))
"""Codes of anatomical structures, old and new, in Segmented Property Category (0062,0003)."""

_GRID_TOLERANCE = 0.1
"""The largest distance of a frame from its slice, as a fraction of a voxel: slice positions of real PET vary by 5 %."""

_THRESHOLD = 0.5
"""A voxel of a fractional segment is foreground from this fraction of the maximum upwards."""


def read_segments(path: str, header: Dataset, volume: hd.Volume, class_names: ClassNames, name: str) -> hd.Volume:
    """Returns the class numbers in a SEG, uint8; if segments overlap, the later class is used.

    Args:
        path: The path of the SEG.
        header: The attributes of the SEG.
        volume: The series that the SEG refers to. If the frames are on its grid, the result is on this grid too.
        class_names: The names of each class.
        name: The name of the SEG, for messages.

    Raises:
        InputError: No segment belongs to a class, or the frames are not on a regular grid.
    """
    frame_uids = {header.get("FrameOfReferenceUID") or None, volume.frame_of_reference_uid} - {None}
    if len(frame_uids) > 1:
        raise InputError(f"{name}: expected the frame of reference of the series, got another one")
    voxel_count = int(header.get("NumberOfFrames") or 0) * header.Rows * header.Columns
    if not 0 < voxel_count <= MAX_VOXELS:
        raise InputError(f"{name}: {voxel_count} voxels: expected 1 to {MAX_VOXELS}")
    selected = assign_classes(_list_regions(header), class_names, name)
    seg = hd.seg.segread(path)
    slices = _frame_slices(seg, volume)
    return _fill_own_grid(seg, selected, name) if slices is None else _fill_slices(seg, slices, volume, selected)


def _list_regions(header: Dataset) -> list[NamedRegion]:
    return [
        NamedRegion(item.SegmentNumber, str(item.get("SegmentLabel") or ""), not _is_anatomical(item))
        for item in header.get("SegmentSequence") or ()
        if item.SegmentNumber  # 0 is the background of a label map
    ]


def _is_anatomical(segment: Dataset) -> bool:
    codes = segment.get("SegmentedPropertyCategoryCodeSequence") or ()
    return any(
        (code.get("CodingSchemeDesignator"), code.get("CodeValue")) in _ANATOMICAL_STRUCTURE_CODES for code in codes
    )


def _frame_slices(seg: Dataset, volume: hd.Volume) -> list[int] | None:
    """Returns the slice index of each frame in a series; None if a frame is not on a slice."""
    if (seg.Rows, seg.Columns) != volume.spatial_shape[1:]:
        return None
    corners = np.array([[0, 0, 0], [0, 0, seg.Columns - 1], [0, seg.Rows - 1, seg.Columns - 1]])
    slices = []
    for number in range(1, seg.NumberOfFrames + 1):
        frame_corners = volume.map_reference_to_indices(_frame_corners_mm(seg, number))
        index = int(np.rint(frame_corners[0, 0]))
        offset = np.abs(frame_corners - corners - [index, 0, 0]).max()
        if offset > _GRID_TOLERANCE or not 0 <= index < volume.spatial_shape[0]:
            return None
        slices.append(index)
    return slices


def _frame_corners_mm(seg: Dataset, number: int) -> FloatArray:
    """Returns the positions of a frame's first pixel, last pixel of the first row, and last pixel, in LPS mm."""
    position, orientation, spacing = (
        np.array(frame_attribute(seg, number, keyword), dtype=float)
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    )
    row, column = orientation[:3] * spacing[1] * (seg.Columns - 1), orientation[3:] * spacing[0] * (seg.Rows - 1)
    return np.array([position, position + row, position + row + column])


def _fill_slices(
    seg: Dataset, slices: Sequence[int], volume: hd.Volume, selected: Sequence[tuple[int, int]]
) -> hd.Volume:
    """Returns the class numbers on the grid of the series."""
    truth = np.zeros(volume.spatial_shape, np.uint8)
    stored = seg.pixel_array.reshape(len(slices), *volume.spatial_shape[1:])
    for segment, class_number in selected:
        for index, mask in _segment_masks(seg, slices, stored, segment):
            truth[index][mask] = class_number
    return volume.with_array(truth)


def _segment_masks(
    seg: Dataset, slices: Sequence[int], stored: NDArray[Any], segment: int
) -> Iterator[tuple[int, Mask]]:
    """Yields the slice index and the mask of each frame of a segment."""
    for number, (index, frame) in enumerate(zip(slices, stored, strict=True), 1):
        if seg.SegmentationType == "LABELMAP":
            yield index, frame == segment
        elif frame_attribute(seg, number, "ReferencedSegmentNumber") == segment:
            is_fractional = seg.SegmentationType == "FRACTIONAL"
            yield index, frame >= seg.MaximumFractionalValue * _THRESHOLD if is_fractional else frame > 0


def _fill_own_grid(seg: Any, selected: Sequence[tuple[int, int]], name: str) -> hd.Volume:
    """Returns the class numbers on the grid of the SEG."""
    geometry = seg.get_volume_geometry(allow_missing_positions=True)
    if geometry is None:
        raise InputError(f"{name}: its frames are neither on the slices of the series nor on a uniform grid")
    truth = np.zeros(geometry.spatial_shape, np.uint8)
    for segment, class_number in selected:
        truth[seg.get_volume(segment_numbers=[segment]).array[..., 0] >= _THRESHOLD] = class_number
    return hd.Volume(truth, geometry.affine, "PATIENT", frame_of_reference_uid=seg.FrameOfReferenceUID)
