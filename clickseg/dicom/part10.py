"""Reading the header of one file, if it is DICOM (PS3.10), with all the ways in which it may not be.

Attributes that all files of a series have in common are converted once.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Hashable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import DataElement, Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from clickseg.dicom.codes import IMAGES
from clickseg.dicom.stored import locate

_CHARACTER_SET = BaseTag(0x00080005)
_BY_THE_PIXELS = ("PixelPaddingRangeLimit", "PixelPaddingValue")
"""Without a value representation of their own they have that of the pixels, which another attribute tells."""

PARSE_ERRORS = (
    AttributeError,
    BytesLengthException,
    EOFError,
    IndexError,
    InvalidDicomError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pydicom raises on a damaged file, by measurement: it has no error class for it."""

READ_ERRORS = (*PARSE_ERRORS, OSError)
"""The same with what it raises where a sequence ends too early: an OSError without a number."""

MAX_INFLATED_BYTES = 1 << 30
_PREAMBLE_BYTES = 132
_CHUNK_BYTES = 1 << 20
_SERIES_UID_TAG = 0x0020000E
TEXTS = (
    "ConcatenationUID",
    "ContentDate",
    "ContentTime",
    "FrameOfReferenceUID",
    "ImageType",
    "InConcatenationTotalNumber",
    "ManufacturerModelName",
    "Modality",
    "PatientID",
    "PatientName",
    "PhotometricInterpretation",
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesDescription",
    "SeriesInstanceUID",
    "StudyInstanceUID",
)
"""What ``Instance.text`` is asked for; converted once, while it is known which file is damaged."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One DICOM file.

    Attributes:
        path: Where the file lies.
        name: Its path relative to the scanned folder, as messages and reports name it.
        header: All attributes in front of the pixel data.
        pixel_bytes: File size from the start of the Pixel Data element on; 0 where there is none; None where a
            deflated file does not tell.
        pixel_offset: Where the value of the Pixel Data element begins, where it can be read as it lies in the file.
        texts: The attributes of ``TEXTS`` as text.
    """

    path: Path
    name: str
    header: Dataset
    pixel_bytes: int | None
    pixel_offset: int | None = None
    texts: Mapping[str, str] = field(default_factory=dict)

    def text(self, keyword: str) -> str:
        """Returns an attribute as text, empty where it is absent or has no value."""
        known = self.texts.get(keyword)
        return _text(self.header.get(keyword)) if known is None else known

    def with_attribute(self, keyword: str, value: str) -> Instance:
        """Returns the instance with another value of an attribute."""
        header = deepcopy(self.header)  # copy.copy shares its elements with the original
        setattr(header, keyword, value)
        return replace(self, header=header, texts={**self.texts, keyword: value})


@dataclass(frozen=True, slots=True)
class Damage:
    """Why a DICOM file cannot be used.

    Attributes:
        reason: What is wrong with it.
        series_uid: The series that it belongs to; empty where that is not known.
    """

    reason: str
    series_uid: str = ""


def read_header(path: Path, name: str, conversions: Conversions) -> Instance | Damage | str:
    """Returns the instance in a file, its damage, or the reason for which the file is passed over.

    Args:
        path: The file.
        name: What to call it.
        conversions: Of ``TEXTS``, from other files.

    Raises:
        OSError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _parse(file, path, name, conversions)
    except READ_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return Damage(f"{type(error).__name__}: {str(error).partition('. ')[0]}", _series_uid(path))


def is_dicom(path: Path) -> bool:
    """Whether a file has the preamble of DICOM; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_PREAMBLE_BYTES)[128:] == b"DICM"
    except OSError:
        return False


def inflates_beyond_bounds(file: BinaryIO) -> bool:
    """Whether a deflated data set is larger than any image that is read; leaves the file at its beginning.

    What is deflated is found as pydicom finds it: behind the last element of the file meta information, which may be
    of any length, without a preamble too.
    """
    file.seek(0)
    if file.read(_PREAMBLE_BYTES)[128:] != b"DICM":
        file.seek(0)
    meta = read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag.group != 2)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        file.seek(0)
        return False
    inflate, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while size <= MAX_INFLATED_BYTES and not inflate.eof:
        chunk = inflate.unconsumed_tail or file.read(_CHUNK_BYTES)
        if not chunk:
            break
        size += len(inflate.decompress(chunk, _CHUNK_BYTES))
    file.seek(0)
    return size > MAX_INFLATED_BYTES


class Conversions:
    """Attributes as they were converted before: the same bytes are converted once, for whatever files they stand in.

    pydicom keeps an attribute as bytes until it is asked for, and takes more time for its conversion than for all else
    in a file. The headers then share what was converted, so their elements are replaced where they differ, and never
    changed.
    """

    def __init__(self, keywords: tuple[str, ...]) -> None:
        """Makes an empty collection.

        Args:
            keywords: The attributes that will be converted.
        """
        self._tags = {keyword: BaseTag(tag_for_keyword(keyword) or 0) for keyword in keywords}
        self._known: dict[Hashable, DataElement] = {}

    def value(self, header: Dataset, keyword: str) -> Any:
        """Returns the value of an attribute, None where there is none.

        Raises:
            Exception: What pydicom raises where it cannot be converted; see ``part10.READ_ERRORS``.
        """
        tag = self._tags[keyword]
        element = header.get_item(tag)
        if isinstance(element, RawDataElement) and not (element.VR is None and keyword in _BY_THE_PIXELS):
            return self._converted(header, tag, element).value
        return None if element is None else header[tag].value

    def _converted(self, header: Dataset, tag: BaseTag, raw: RawDataElement) -> DataElement:
        encoding = header.get(_CHARACTER_SET)
        written = (raw.tag, raw.VR, raw.length, raw.value, raw.is_implicit_VR, raw.is_little_endian)
        key = (*written, str(encoding.value) if encoding is not None else "")
        known = self._known.get(key)
        if known is not None:
            header[tag] = known
            return known
        element: DataElement = header[tag]
        if element.VR != "SQ":  # its items could be changed, and know whose they are
            self._known[key] = element
        return element


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _parse(file: BinaryIO, path: Path, name: str, conversions: Conversions) -> Instance | Damage | str:
    head = file.read(_PREAMBLE_BYTES)
    if not head:
        return "empty file"
    has_preamble = head[128:] == b"DICM"
    if not has_preamble and not _starts_like_dataset(head):
        return "not DICOM"
    if inflates_beyond_bounds(file):
        return Damage(f"it inflates to more than {MAX_INFLATED_BYTES} bytes")
    header = dcmread(file, stop_before_pixels=True, force=not has_preamble)
    if not has_preamble and "SOPClassUID" not in header:
        return "not DICOM"
    return _no_image(header) or _instance(file, header, path, name, conversions)


def _starts_like_dataset(head: bytes) -> bool:
    """Whether bytes begin with group 0008 or 0002: a data set that was stored without a preamble."""
    return head[:2] in (b"\x08\x00", b"\x02\x00", b"\x00\x08") and len(head) == _PREAMBLE_BYTES


def _no_image(header: Dataset) -> str | None:
    """Returns what a header is of that belongs to no series."""
    stated = header.file_meta.get("MediaStorageSOPClassUID")
    if stated == MediaStorageDirectoryStorage:
        return "DICOMDIR"
    is_whole = "SOPClassUID" in header and header.SOPClassUID == stated  # and not cut in the middle of the UID
    if is_whole and stated not in IMAGES and "SeriesInstanceUID" not in header:
        return "DICOM without a series"
    return None


def _instance(file: BinaryIO, header: Dataset, path: Path, name: str, conversions: Conversions) -> Instance | Damage:
    if "SOPClassUID" not in header or "SeriesInstanceUID" not in header:
        is_cut = max(header.keys(), default=BaseTag(0)) < _SERIES_UID_TAG
        lack = "it ends before" if is_cut else "there is no"
        return Damage(f"{lack} SOPClassUID (0008,0016) or SeriesInstanceUID (0020,000E)")
    texts = {keyword: _text(conversions.value(header, keyword)) for keyword in TEXTS}
    _complete_meta(header)
    pixel_bytes, pixel_offset = locate(file, header)
    if pixel_bytes == 0 and header.SOPClassUID in IMAGES:
        return Damage("no pixel data (7FE0,0010)", str(header.SeriesInstanceUID))
    return Instance(path, name, header, pixel_bytes, pixel_offset, texts)


def _complete_meta(header: Dataset) -> None:
    """Gives a file without file meta information the transfer syntax that it was read with (PS3.10, 7.1)."""
    if "TransferSyntaxUID" in header.file_meta:
        return
    is_implicit, is_little = header.original_encoding
    explicit = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
    header.file_meta = FileMetaDataset(header.file_meta)
    header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit


def _series_uid(path: Path) -> str:
    """Returns the series of a file that is damaged further on, where it can still be read."""

    def is_behind(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        return int(tag) > _SERIES_UID_TAG

    try:
        with path.open("rb") as file:
            return str(read_partial(file, stop_when=is_behind).get("SeriesInstanceUID") or "")
    except READ_ERRORS:
        return ""
