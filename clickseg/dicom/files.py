"""Finding the DICOM instances of a folder tree, headers only."""

from __future__ import annotations

import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from clickseg.dicom.sop_classes import IMAGES
from clickseg.digest import file_sha256
from clickseg.errors import InputError
from clickseg.wording import counted

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

_PREAMBLE_BYTES = 132
_PIXEL_DATA_TAGS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")


@dataclass(frozen=True, slots=True)
class Instance:
    """One DICOM file.

    Attributes:
        path: Where the file lies.
        name: Its path relative to the scanned folder, as messages and reports name it.
        header: All attributes in front of the pixel data.
        pixel_bytes: File size from the start of the Pixel Data element on; 0 where there is none; None where a
            deflated file does not tell.
    """

    path: Path
    name: str
    header: Dataset
    pixel_bytes: int | None

    def text(self, keyword: str) -> str:
        """Returns an attribute as text, empty where it is absent or has no value."""
        value = self.header.get(keyword)
        return "" if value is None else str(value).strip()


@dataclass(frozen=True, slots=True)
class Scan:
    """What a folder tree holds.

    Attributes:
        folder: The folder that was scanned (the parent, where a single file was).
        instances: DICOM instances in the order of their names.
        damaged: Files that are DICOM but cannot be used, and why. To leave one out could shorten a volume without a
            word.
        passed_over: How many other files were left aside, by reason.
    """

    folder: Path
    instances: tuple[Instance, ...]
    damaged: Mapping[str, str]
    passed_over: Mapping[str, int]

    def check_undamaged(self) -> None:
        """Refuses a folder with damaged files.

        Raises:
            InputError: There are some; the message names them.
        """
        if self.damaged:
            named = "; ".join(f"{name}: {reason}" for name, reason in list(self.damaged.items())[:3])
            raise InputError(
                f"{counted(len(self.damaged), 'damaged DICOM file')}: {named}", hint="fetch them again, or remove them"
            )


def scan(path: Path) -> Scan:
    """Finds every DICOM instance below a folder, whatever its file is called.

    Args:
        path: A folder, or one DICOM file.

    Returns:
        The instances, and a count of what was passed over: files that are not DICOM, empty ones, a DICOMDIR, links
        that lead nowhere or out of the folder, special files, byte-identical copies.

    Raises:
        InputError: The path does not exist, or a file cannot be read.
    """
    if not path.exists():
        raise InputError(f"no such file or folder: {path}")
    folder = path if path.is_dir() else path.parent
    passed_over: Counter[str] = Counter()
    instances: list[Instance] = []
    damaged: dict[str, str] = {}
    for file in _files(path):
        found = _read(file, folder)
        if isinstance(found, Instance):
            instances.append(found)
        elif isinstance(found, _Damage):
            damaged[file.relative_to(folder).as_posix()] = found.reason
        else:
            passed_over[found] += 1
    return Scan(folder, _without_copies(instances, passed_over), damaged, dict(sorted(passed_over.items())))


def _files(path: Path) -> Iterator[Path]:
    """Yields the files below a folder in a fixed order; folders behind links are not entered."""
    if not path.is_dir():
        yield path
        return
    for parent, folders, names in os.walk(path):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names))


@dataclass(frozen=True, slots=True)
class _Damage:
    """Why a DICOM file cannot be used."""

    reason: str


def _read(path: Path, folder: Path) -> Instance | _Damage | str:
    """Returns the instance in a file, its damage, or the reason for which the file is passed over."""
    if path.is_symlink():
        if not path.exists():
            return "broken link"
        if not path.resolve().is_relative_to(folder.resolve()):
            return "link out of the folder"
    if not path.is_file():
        return "special file"
    name = path.relative_to(folder).as_posix()
    try:
        with path.open("rb") as file:
            return _parse(file, path, name)
    except PARSE_ERRORS as error:
        return _Damage(f"{type(error).__name__}: {str(error).partition('. ')[0]}")
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from error


def _parse(file: BinaryIO, path: Path, name: str) -> Instance | _Damage | str:
    head = file.read(_PREAMBLE_BYTES)
    if not head:
        return "empty file"
    has_preamble = head[128:] == b"DICM"
    if not has_preamble and not _starts_like_dataset(head):
        return "not DICOM"
    file.seek(0)
    header = dcmread(file, stop_before_pixels=True, force=not has_preamble)
    if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        return "DICOMDIR"
    if not has_preamble and "SOPClassUID" not in header:
        return "not DICOM"
    if "SOPClassUID" not in header or "SeriesInstanceUID" not in header:
        return _Damage("it ends before SOPClassUID (0008,0016) or SeriesInstanceUID (0020,000E)")
    _complete_meta(header)
    pixel_bytes = _pixel_bytes(file, header)
    if pixel_bytes == 0 and header.SOPClassUID in IMAGES:
        return _Damage("no pixel data (7FE0,0010)")
    return Instance(path, name, header, pixel_bytes)


def _starts_like_dataset(head: bytes) -> bool:
    """Whether bytes begin with group 0008 or 0002: a data set that was stored without a preamble."""
    return head[:2] in (b"\x08\x00", b"\x02\x00", b"\x00\x08") and len(head) == _PREAMBLE_BYTES


def _complete_meta(header: Dataset) -> None:
    """Gives a file without file meta information the transfer syntax that it was read with (PS3.10, 7.1)."""
    if "TransferSyntaxUID" in header.file_meta:
        return
    is_implicit, is_little = header.original_encoding
    explicit = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
    header.file_meta = FileMetaDataset(header.file_meta)
    header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit


def _pixel_bytes(file: BinaryIO, header: Dataset) -> int | None:
    if header.file_meta.TransferSyntaxUID.is_deflated:
        return None
    start = file.tell()
    is_pixel_data = file.read(4) in _PIXEL_DATA_TAGS
    return file.seek(0, os.SEEK_END) - start if is_pixel_data else 0


def _without_copies(instances: list[Instance], passed_over: Counter[str]) -> tuple[Instance, ...]:
    """Leaves out files that are byte for byte the same as an earlier one of the same SOP instance."""
    uids = Counter(instance.text("SOPInstanceUID") for instance in instances)
    seen: set[str] = set()
    kept: list[Instance] = []
    for instance in instances:
        digest = file_sha256(instance.path) if uids[instance.text("SOPInstanceUID")] > 1 else None
        if digest in seen:
            passed_over["copy of another file"] += 1
            continue
        kept.append(instance)
        if digest is not None:
            seen.add(digest)
    return tuple(kept)
