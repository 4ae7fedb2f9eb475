"""Computes a digest of everything that SEG and SR take from the headers of a series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from typing import Any

from pydicom import Dataset
from pydicom import Sequence as DicomSequence
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from clickseg.dicom.codes import MULTI_FRAME_SOP_CLASSES, content_digest
from clickseg.dicom.conversion import READ_ERRORS
from clickseg.dicom.planes import frame_attribute

_UID_KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
_PER_FRAME_GROUPS_TAG = 0x52009230


def source_digest(headers: Sequence[Dataset]) -> bytes:
    """Returns a digest of all values that SEG and SR take from ``reference_headers``.

    The digest covers all standard attributes of the first header, from which patient, study and equipment are copied,
    and the UIDs and frame positions of each header.
    """
    elements = {
        tag: element
        for tag, element in headers[0].items()
        if not tag.is_private and tag != _PER_FRAME_GROUPS_TAG  # one item per frame
    }
    first = deepcopy(Dataset(elements))  # decoding would change items that are shared with the source
    uids = (str(header.get(keyword)) for header in headers for keyword in _UID_KEYWORDS)
    positions = (str(position) for header in headers for position in _frame_positions(header))
    return content_digest(_dataset_digest(first), content_digest(*uids), content_digest(*positions))


def _frame_positions(header: Dataset) -> Iterator[Any]:
    """Yields Image Position (Patient) of each frame."""
    is_multi_frame = header.SOPClassUID in MULTI_FRAME_SOP_CLASSES and "NumberOfFrames" in header
    numbers = range(1, int(header.NumberOfFrames) + 1) if is_multi_frame else (None,)
    for number in numbers:
        yield frame_attribute(header, number, "ImagePositionPatient")


def _dataset_digest(dataset: Dataset) -> bytes:
    return content_digest(*(part for tag in sorted(dataset.keys()) for part in (str(tag), _value_digest(dataset, tag))))


def _value_digest(dataset: Dataset, tag: BaseTag) -> bytes:
    """Returns a digest of the value of an attribute, or of its bytes if the value cannot be decoded."""
    raw = dataset.get_item(tag).value
    try:
        element = dataset[tag]
        values = element.value if isinstance(element.value, (MultiValue, DicomSequence)) else [element.value]
        return content_digest(str(element.VR), *_digest_parts(values))
    except READ_ERRORS:
        return content_digest("undecodable", raw if isinstance(raw, bytes) else b"")


def _digest_parts(values: Iterable[Any]) -> Iterator[str | bytes]:
    """Yields the part of the digest for each value of an attribute."""
    for value in values:
        if isinstance(value, Dataset):
            yield _dataset_digest(value)
        else:
            yield value if isinstance(value, bytes) else str(value)
