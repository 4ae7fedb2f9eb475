"""Pixels that are not compressed, straight from the file: its header has been read, and need not be read again."""

from __future__ import annotations

import os
import struct
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

_TAGS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")
"""Pixel Data (7FE0,0010) in little and in big endian."""

_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
_WORDS = (b"OB", b"OW")


def locate(file: BinaryIO, header: Dataset) -> tuple[int | None, int | None]:
    """Finds the Pixel Data element that a file stands at.

    Args:
        file: It stands behind the last element of the header.
        header: The header; of a deflated file nothing can be found.

    Returns:
        How many bytes there are from the start of the element to the end of the file (0 where there is no such element;
        None where a deflated file does not tell); and the position of its value, where the value is uncompressed little
        endian and ends with the file: only then nothing behind the pixels could be damaged.
    """
    if header.file_meta.TransferSyntaxUID.is_deflated:
        return None, None
    start = file.tell()
    head = file.read(12)
    size = file.seek(0, os.SEEK_END)
    if head[:4] not in _TAGS:
        return 0, None
    return size - start, _value_offset(start, head, size, header.file_meta.TransferSyntaxUID)


def _value_offset(start: int, head: bytes, size: int, syntax: str) -> int | None:
    if syntax not in _PLAIN or len(head) < 12:
        return None
    is_explicit = syntax == ExplicitVRLittleEndian
    if is_explicit and head[4:6] not in _WORDS:
        return None
    (length,) = struct.unpack_from("<I", head, 8 if is_explicit else 4)
    offset = start + (12 if is_explicit else 8)
    return offset if offset + length == size else None


def read_stored(file: BinaryIO, offset: int, header: Dataset) -> NDArray[Any] | None:
    """Returns the stored values of all frames [F, J, I] (frame, row, column).

    Args:
        file: The file.
        offset: Where the value of its Pixel Data element begins; it ends with the file.
        header: Its header; Rows, Columns and Bits Allocated have been checked, and that there is one sample.

    Returns:
        None where the header and the length of the value do not agree, or the header is odd otherwise: then it takes a
        decoder to say what is wrong, or to make the best of it.
    """
    shape = (int(header.get("NumberOfFrames") or 1), header.Rows, header.Columns)
    bits, sign = header.BitsAllocated, header.get("PixelRepresentation")
    if sign not in (0, 1) or not 0 < (header.get("BitsStored") or 0) <= bits:
        return None
    stored = np.empty(shape, f"<{'i' if sign else 'u'}{bits // 8}")
    if file.seek(0, os.SEEK_END) - offset not in (stored.nbytes, stored.nbytes + stored.nbytes % 2):
        return None
    file.seek(offset)
    if file.readinto(stored.data) != stored.nbytes:  # type: ignore[attr-defined]
        return None
    return _without_unused_bits(stored, bits - header.BitsStored)


def _without_unused_bits(stored: NDArray[Any], count: int) -> NDArray[Any]:
    """Returns stored values without the highest bits, which may be anything, such as overlays (PS3.5, 8.1.1)."""
    if count:
        np.left_shift(stored, count, out=stored)
        np.right_shift(stored, count, out=stored)
    return stored
