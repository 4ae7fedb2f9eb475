"""Segments of a DICOM SEG as class numbers (PS3.3, A.51): binary, fractional from one half on, and label maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from clickseg.core.arrays import Doubles, Mask
from clickseg.core.errors import InputError
from clickseg.datasets.regions import Classes, Region, class_of_each
from clickseg.dicom.planes import frame_attribute
from clickseg.dicom.series import MAX_VOXELS

_ORGANS = (("SCT", "123037004"), ("SCT", "91723000"), ("SRT", "T-D000A"))
"""Segmented Property Category (0062,0003) of anatomical structures, by its codes then and now."""

_OFF_GRID = 0.1
"""How far a frame may lie from the slice that it is of, as a part of a voxel: real PET jitters by 5 %."""

_HALF = 0.5
"""From where on a fractional voxel counts."""


def segmented(path: str, header: Dataset, volume: hd.Volume, classes: Classes, name: str) -> hd.Volume:
    """Returns the class numbers that a SEG gives; where its segments overlap, the later class counts.

    Args:
        path: The SEG.
        header: Its attributes.
        volume: The series that it refers to: its grid is that of the result, where the frames lie on it.
        classes: The names that each class has.
        name: What to call it in messages.

    Raises:
        InputError: It has none of the segments, or its frames form no volume.
    """
    frames = {header.get("FrameOfReferenceUID") or None, volume.frame_of_reference_uid} - {None}
    if len(frames) > 1:
        raise InputError(f"{name}: expected the frame of reference of the series, got another one")
    voxels = int(header.get("NumberOfFrames") or 0) * header.Rows * header.Columns
    if not 0 < voxels <= MAX_VOXELS:
        raise InputError(f"{name}: {voxels} voxels: expected 1 to {MAX_VOXELS}")
    chosen = class_of_each(_regions(header), classes, name)
    seg = hd.seg.segread(path)
    slices = _slices(seg, volume)
    return _on_regular_grid(seg, chosen, name) if slices is None else _on_slices(seg, slices, volume, chosen)


def _regions(header: Dataset) -> list[Region]:
    return [
        Region(item.SegmentNumber, str(item.get("SegmentLabel") or ""), not _is_organ(item))
        for item in header.get("SegmentSequence") or ()
        if item.SegmentNumber  # 0 is the background of a label map
    ]


def _is_organ(segment: Dataset) -> bool:
    codes = segment.get("SegmentedPropertyCategoryCodeSequence") or ()
    return any((code.get("CodingSchemeDesignator"), code.get("CodeValue")) in _ORGANS for code in codes)


def _slices(seg: Dataset, volume: hd.Volume) -> list[int] | None:
    """Returns the slice of a series that each frame lies on; None where one lies on none."""
    if (seg.Rows, seg.Columns) != volume.spatial_shape[1:]:
        return None
    corners = np.array([[0, 0, 0], [0, 0, seg.Columns - 1], [0, seg.Rows - 1, seg.Columns - 1]])
    slices = []
    for number in range(1, seg.NumberOfFrames + 1):
        found = volume.map_reference_to_indices(_corners(seg, number))
        index = int(np.rint(found[0, 0]))
        off = np.abs(found - corners - [index, 0, 0]).max()
        if off > _OFF_GRID or not 0 <= index < volume.spatial_shape[0]:
            return None
        slices.append(index)
    return slices


def _corners(seg: Dataset, number: int) -> Doubles:
    """Returns where the first pixel of a frame, the last of its first row, and the last of all lie, in LPS mm."""
    position, orientation, spacing = (
        np.array(frame_attribute(seg, number, keyword), dtype=float)
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    )
    row, column = orientation[:3] * spacing[1] * (seg.Columns - 1), orientation[3:] * spacing[0] * (seg.Rows - 1)
    return np.array([position, position + row, position + row + column])


def _on_slices(seg: Dataset, slices: Sequence[int], volume: hd.Volume, chosen: Sequence[tuple[int, int]]) -> hd.Volume:
    truth = np.zeros(volume.spatial_shape, np.uint8)
    stored = seg.pixel_array.reshape(len(slices), *volume.spatial_shape[1:])
    for segment, class_number in chosen:
        for index, mask in _masks(seg, slices, stored, segment):
            truth[index][mask] = class_number
    return volume.with_array(truth)


def _masks(seg: Dataset, slices: Sequence[int], stored: NDArray[Any], segment: int) -> Iterator[tuple[int, Mask]]:
    """Yields the slices on which a segment has frames, and where it is in them."""
    for number, (index, frame) in enumerate(zip(slices, stored, strict=True), 1):
        if seg.SegmentationType == "LABELMAP":
            yield index, frame == segment
        elif frame_attribute(seg, number, "ReferencedSegmentNumber") == segment:
            is_fractional = seg.SegmentationType == "FRACTIONAL"
            yield index, frame >= seg.MaximumFractionalValue * _HALF if is_fractional else frame > 0


def _on_regular_grid(seg: Any, chosen: Sequence[tuple[int, int]], name: str) -> hd.Volume:
    """Returns the class numbers on a grid of the segmentation's own."""
    geometry = seg.get_volume_geometry(allow_missing_positions=True)
    if geometry is None:
        raise InputError(f"{name}: its frames lie neither in the slices of the series nor on a uniform grid")
    truth = np.zeros(geometry.spatial_shape, np.uint8)
    for segment, class_number in chosen:
        truth[seg.get_volume(segment_numbers=[segment]).array[..., 0] >= _HALF] = class_number
    return hd.Volume(truth, geometry.affine, "PATIENT", frame_of_reference_uid=seg.FrameOfReferenceUID)
