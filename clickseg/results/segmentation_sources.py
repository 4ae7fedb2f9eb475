"""Source headers of multi-frame images for highdicom's SEG writer, and references from the SEG to these images.

highdicom accepts one multi-frame image of which all frames are sources, or several images of a single-frame SOP Class.
For other series it receives headers that meet these conditions, and the references in the SEG are corrected afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydicom import Dataset

from clickseg.core.arrays import LabelArray
from clickseg.dicom.codes import SINGLE_FRAME_EQUIVALENTS
from clickseg.dicom.volume import SeriesVolume


def segmentation_sources(series: SeriesVolume) -> Sequence[Dataset]:
    """Returns the headers of the frames of a volume, in the order of ``to_frame_order``."""
    sources, numbers = series.sources, _frame_numbers(series)
    if not numbers:
        return sources
    if len(sources) > 1:
        return [_copy(source, SOPClassUID=SINGLE_FRAME_EQUIVALENTS[source.SOPClassUID]) for source in sources]
    if len(numbers) == int(sources[0].NumberOfFrames):
        return sources
    groups = sources[0].PerFrameFunctionalGroupsSequence
    frames = [_copy(groups[number - 1]) for number in sorted(numbers)]
    return [_copy(sources[0], NumberOfFrames=len(frames), PerFrameFunctionalGroupsSequence=frames)]


def to_frame_order(series: SeriesVolume, pixels: LabelArray) -> LabelArray:
    """Sorts planes [K, ...] into the order of the frames of one multi-frame image; other series stay unchanged."""
    numbers = _frame_numbers(series)
    return pixels[np.argsort(numbers)] if numbers and len(series.sources) == 1 else pixels


def correct_references(segmentation: Dataset, series: SeriesVolume) -> None:
    """Replaces SOP Classes and frame numbers in the references of a SEG by those of the source images.

    Args:
        segmentation: A SEG that was made from ``segmentation_sources``; changed in place.
        series: The source series.
    """
    sources, numbers = series.sources, sorted(_frame_numbers(series))
    if len(sources) > 1 and numbers:
        _correct_items(segmentation, {str(source.SOPInstanceUID): str(source.SOPClassUID) for source in sources}, ())
    elif numbers and len(numbers) < int(sources[0].NumberOfFrames):
        _correct_items(segmentation, {str(sources[0].SOPInstanceUID): str(sources[0].SOPClassUID)}, numbers)


def _frame_numbers(series: SeriesVolume) -> list[int]:
    """Returns the frame number of each plane; an empty list for single-frame images."""
    return [plane.frame_number for plane in series.stack.planes if plane.frame_number is not None]


def _copy(dataset: Dataset, **attributes: object) -> Dataset:
    """Returns a copy that shares its elements with the source, except some attributes."""
    copy = Dataset(dict(dataset.items()))
    for keyword, value in attributes.items():
        copy.pop(keyword, None)  # pydicom would change the shared element
        setattr(copy, keyword, value)
    return copy


def _correct_items(item: Dataset, classes: Mapping[str, str], numbers: Sequence[int]) -> None:
    """Corrects the references to some instances in an item and in its sequences.

    Args:
        item: The item; changed in place.
        classes: The SOP Class of each instance, by SOP Instance UID.
        numbers: The frame number in the source of each frame that the writer received; empty for one-frame instances.
    """
    uid = str(item.get("ReferencedSOPInstanceUID", ""))
    if uid in classes:
        item.ReferencedSOPClassUID = classes[uid]
        if numbers and "ReferencedFrameNumber" in item:
            item.ReferencedFrameNumber = numbers[int(item.ReferencedFrameNumber) - 1]
    for element in item:
        if element.VR == "SQ":
            for member in element.value or ():
                _correct_items(member, classes, numbers)
