"""Reads the header of one file (PS3.10), and reports files that are damaged or not DICOM."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from clickseg.dicom.character_sets import complete_character_set
from clickseg.dicom.codes import IMAGE_SOP_CLASSES
from clickseg.dicom.conversion import READ_ERRORS, ConversionCache
from clickseg.dicom.stored import locate_pixel_data

MAX_INFLATED_BYTES = 1 << 30
"""The largest deflated data set that is read, in bytes after inflation."""

_PREAMBLE_BYTES = 132
_CHUNK_BYTES = 1 << 20
_SERIES_UID_TAG = 0x0020000E
TEXT_KEYWORDS = (
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
    "ProtocolName",
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesDescription",
    "SeriesInstanceUID",
    "StudyInstanceUID",
)
"""Attributes that code reads with ``Instance.text``; converted with the file, so that errors can name the file."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One DICOM file.

    Attributes:
        path: The path of the file.
        name: The path relative to the scanned folder, for messages and reports.
        header: All attributes before the pixel data.
        pixel_bytes: The number of bytes from the start of the Pixel Data element to the end of the file; 0 without
            pixel data; None if unknown because the file is deflated.
        pixel_offset: The offset of the value of Pixel Data in the file; None if the pixels need a decoder.
        texts: The attributes of ``TEXT_KEYWORDS`` as text.
    """

    path: Path
    name: str
    header: Dataset
    pixel_bytes: int | None
    pixel_offset: int | None = None
    texts: Mapping[str, str] = field(default_factory=dict)

    def text(self, keyword: str) -> str:
        """Returns an attribute as text; empty if the attribute is absent or has no value."""
        text = self.texts.get(keyword)
        return _to_text(self.header.get(keyword)) if text is None else text

    def with_attribute(self, keyword: str, value: str) -> Instance:
        """Returns a copy of the instance with a new value of an attribute."""
        header = deepcopy(self.header)  # copy.copy shares its elements with the original
        setattr(header, keyword, value)
        return replace(self, header=header, texts={**self.texts, keyword: value})


@dataclass(frozen=True, slots=True)
class Damage:
    """Why a DICOM file cannot be used.

    Attributes:
        reason: The reason, for messages.
        series_uid: The series of the file; empty if unknown.
    """

    reason: str
    series_uid: str = ""


def read_header(path: Path, name: str, conversions: ConversionCache) -> Instance | Damage | str:
    """Returns the instance in a file, its damage, or the reason for which the file is ignored.

    Args:
        path: The file.
        name: The name of the file in messages.
        conversions: A cache for the attributes of ``TEXT_KEYWORDS``, shared by all files.

    Raises:
        OSError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _parse(file, path, name, conversions)
    except READ_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return Damage(f"{type(error).__name__}: {str(error).partition('. ')[0]}", _read_series_uid(path))


def is_dicom(path: Path) -> bool:
    """Whether a file has the preamble of DICOM; False if the file cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_PREAMBLE_BYTES)[128:] == b"DICM"
    except OSError:
        return False


def is_decompression_bomb(file: BinaryIO) -> bool:
    """Whether a deflated data set is larger than ``MAX_INFLATED_BYTES``; rewinds the file to its beginning.

    The deflated data are located in the same way as in pydicom: they follow the last element of the file meta
    information, which may have any length and need not have a preamble.
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


def _to_text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _parse(file: BinaryIO, path: Path, name: str, conversions: ConversionCache) -> Instance | Damage | str:
    head = file.read(_PREAMBLE_BYTES)
    if not head:
        return "empty file"
    has_preamble = head[128:] == b"DICM"
    if not has_preamble and not _starts_like_dataset(head):
        return "not DICOM"
    if is_decompression_bomb(file):
        return Damage(f"it inflates to more than {MAX_INFLATED_BYTES} bytes")
    header = dcmread(file, stop_before_pixels=True, force=not has_preamble)
    complete_character_set(header)
    if not has_preamble and "SOPClassUID" not in header:
        return "not DICOM"
    return _ignored_reason(header) or _make_instance(file, header, path, name, conversions)


def _starts_like_dataset(head: bytes) -> bool:
    """Whether bytes begin with group 0008 or 0002, that is, with a data set that was stored without a preamble."""
    return head[:2] in (b"\x08\x00", b"\x02\x00", b"\x00\x08") and len(head) == _PREAMBLE_BYTES


def _ignored_reason(header: Dataset) -> str | None:
    """Returns the reason for which a file without a series is ignored; None if the file is not ignored."""
    media_class = header.file_meta.get("MediaStorageSOPClassUID")
    if media_class == MediaStorageDirectoryStorage:
        return "DICOMDIR"
    is_complete = "SOPClassUID" in header and header.SOPClassUID == media_class  # not truncated within the UID
    if is_complete and media_class not in IMAGE_SOP_CLASSES and "SeriesInstanceUID" not in header:
        return "DICOM without a series"
    return None


def _make_instance(
    file: BinaryIO, header: Dataset, path: Path, name: str, conversions: ConversionCache
) -> Instance | Damage:
    if "SOPClassUID" not in header or "SeriesInstanceUID" not in header:
        is_truncated = max(header.keys(), default=BaseTag(0)) < _SERIES_UID_TAG
        problem = "it ends before" if is_truncated else "it has no"
        return Damage(f"{problem} SOPClassUID (0008,0016) or SeriesInstanceUID (0020,000E)")
    texts = {keyword: _to_text(conversions.value(header, keyword)) for keyword in TEXT_KEYWORDS}
    _add_transfer_syntax(header)
    pixel_bytes, pixel_offset = locate_pixel_data(file, header)
    if pixel_bytes == 0 and header.SOPClassUID in IMAGE_SOP_CLASSES:
        return Damage("no pixel data (7FE0,0010)", str(header.SeriesInstanceUID))
    return Instance(path, name, header, pixel_bytes, pixel_offset, texts)


def _add_transfer_syntax(header: Dataset) -> None:
    """Sets the transfer syntax of a file without file meta information to the one used for reading (PS3.10, 7.1)."""
    if "TransferSyntaxUID" in header.file_meta:
        return
    is_implicit, is_little_endian = header.original_encoding
    explicit = ExplicitVRLittleEndian if is_little_endian else ExplicitVRBigEndian
    header.file_meta = FileMetaDataset(header.file_meta)
    header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit


def _read_series_uid(path: Path) -> str:
    """Returns the Series Instance UID of a damaged file; empty if the damage is before the UID."""

    def is_after_series_uid(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        return int(tag) > _SERIES_UID_TAG

    try:
        with path.open("rb") as file:
            return str(read_partial(file, stop_when=is_after_series_uid).get("SeriesInstanceUID") or "")
    except READ_ERRORS:
        return ""
