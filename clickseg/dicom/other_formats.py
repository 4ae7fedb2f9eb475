"""Explains an input without DICOM files: names the format of its files, and what to do."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from clickseg.core.errors import InputError
from clickseg.core.text import format_count, join_names
from clickseg.dicom.files import Scan
from clickseg.dicom.incomplete import BROKEN_LINK, ZEROS, state_without_content

_MAX_FILES = 1000
"""The number of files whose format is determined."""

_MAX_FORMATS = 3
"""The number of formats that a message names."""

_HEAD_BYTES = 1024
_GZIP = b"\x1f\x8b"

_IMAGE_HINT = "pass the folder of the DICOM files from which the image was converted"
_ARCHIVE_HINT = "unpack the archive, and pass the folder with its files"
_PICTURE_HINT = "pass the folder of the DICOM files from which the picture was exported"
_CONTENT_HINT = "the transfer was interrupted: send the files again"
_LINK_HINT = "copy the files to which the links refer into the folder"
_DICOMDIR_HINT = "pass the folder that contains the DICOMDIR together with the images"
_OTHER_HINT = "pass the folder that contains the study"


@dataclass(frozen=True, slots=True)
class _Format:
    """A format of files that are not DICOM.

    Attributes:
        noun: The format, for messages.
        hint: What to do.
        signature: What the content matches from its beginning; None if only the extension shows the format.
        extensions: The extensions of files with this format.
    """

    noun: str
    hint: str
    signature: re.Pattern[bytes] | None
    extensions: tuple[str, ...] = ()


_FORMATS = (
    _Format("NIfTI image", _IMAGE_HINT, re.compile(rb".{344}n[+i]1\0|.{4}n[+i]2\0", re.DOTALL), (".nii", ".nii.gz")),
    _Format("NRRD image", _IMAGE_HINT, re.compile(rb"NRRD000"), (".nrrd", ".nhdr")),
    _Format("MetaImage", _IMAGE_HINT, re.compile(rb"(ObjectType|NDims) *="), (".mha", ".mhd")),
    _Format("raw image", _IMAGE_HINT, None, (".raw", ".zraw")),
    _Format("Analyze image", _IMAGE_HINT, None, (".img", ".hdr")),
    _Format("HDF5 file", _IMAGE_HINT, re.compile(rb"\x89HDF\r\n"), (".h5", ".hdf5")),
    _Format("zip archive", _ARCHIVE_HINT, re.compile(rb"PK(\x03\x04|\x05\x06)"), (".zip",)),
    _Format("tar archive", _ARCHIVE_HINT, re.compile(rb".{257}ustar", re.DOTALL), (".tar", ".tgz", ".tar.gz")),
    _Format("7z archive", _ARCHIVE_HINT, re.compile(rb"7z\xbc\xaf\x27\x1c"), (".7z",)),
    _Format("rar archive", _ARCHIVE_HINT, re.compile(rb"Rar!\x1a\x07"), (".rar",)),
    _Format("bzip2 archive", _ARCHIVE_HINT, re.compile(rb"BZh[1-9]"), (".bz2",)),
    _Format("xz archive", _ARCHIVE_HINT, re.compile(rb"\xfd7zXZ\0"), (".xz",)),
    _Format("zstd archive", _ARCHIVE_HINT, re.compile(rb"\x28\xb5\x2f\xfd"), (".zst",)),
    _Format("gzip archive", _ARCHIVE_HINT, re.compile(_GZIP), (".gz",)),
    _Format("disc image", _ARCHIVE_HINT, None, (".iso",)),
    _Format("JPEG picture", _PICTURE_HINT, re.compile(rb"\xff\xd8\xff"), (".jpg", ".jpeg")),
    _Format("PNG picture", _PICTURE_HINT, re.compile(rb"\x89PNG\r\n"), (".png",)),
    _Format("TIFF picture", _PICTURE_HINT, re.compile(rb"II\x2a\0|MM\0\x2a"), (".tif", ".tiff")),
)
"""The formats that users confuse with DICOM; of several that match, the first."""

_STATES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "empty": ("empty file", _CONTENT_HINT),
        ZEROS: ("zero-filled file", _CONTENT_HINT),
        BROKEN_LINK: ("broken link", _LINK_HINT),
    }
)
"""By the state of a file without content: the noun for messages, and the hint."""


def no_dicom_error(scan_result: Scan) -> InputError:
    """Returns the error for an input without DICOM files, with the format of the files that it contains."""
    count = sum(scan_result.ignored.values())
    if not count:
        return InputError("no DICOM files in the input: the folder is empty", hint=_OTHER_HINT)
    message = f"no DICOM files in the input ({format_count(count, 'other file')})"
    found = [_identify(scan_result.folder / name) for name in scan_result.unread_files[:_MAX_FILES]]
    kinds = Counter(kind for kind in found if kind is not None)
    if not kinds:
        if "DICOMDIR" in scan_result.ignored:
            return InputError(f"{message}: only a DICOMDIR, which contains no images", hint=_DICOMDIR_HINT)
        return InputError(message, hint=_OTHER_HINT)
    frequent = dict(kinds.most_common(_MAX_FORMATS))
    groups = []
    for kind, number in frequent.items():
        names = [name for name, other in zip(scan_result.unread_files, found, strict=False) if other == kind]
        groups.append(f"{format_count(number, kind[0])} ({join_names(names, 1)})")
    hints = dict.fromkeys(hint for _, hint in frequent)
    return InputError(f"{message}: {join_names(groups, _MAX_FORMATS)}", hint="; or ".join(hints))


def _identify(path: Path) -> tuple[str, str] | None:
    """Returns the noun and the hint for the format of a file; None if the format is unknown."""
    named = [form for form in _FORMATS if path.name.lower().endswith(form.extensions)]
    state = state_without_content(path)
    if state in _STATES and not (state == ZEROS and named):  # pixels of a raw image can begin with zeros
        return _STATES[state]
    content = _read_beginning(path)
    signed = [form for form in _FORMATS if form.signature is not None and form.signature.match(content)]
    return next(((form.noun, form.hint) for form in (*signed, *named)), None)


def _read_beginning(path: Path) -> bytes:
    """Returns the first bytes of a file, decompressed if they are the beginning of a known format."""
    try:
        with path.open("rb") as file:
            content = file.read(_HEAD_BYTES)
    except OSError:
        return b""
    inflated = _inflate(content) if content.startswith(_GZIP) else b""
    is_known = any(form.signature is not None and form.signature.match(inflated) for form in _FORMATS)
    return inflated if is_known else content


def _inflate(content: bytes) -> bytes:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(content, _HEAD_BYTES)
    except zlib.error:
        return b""
