"""Reads uncompressed pixels directly from the file, without parsing its header again."""

from __future__ import annotations

import os
import struct
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

_PIXEL_DATA_TAGS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")
"""Pixel Data (7FE0,0010) in little and in big endian."""

_NATIVE_SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
_PIXEL_VRS = (b"OB", b"OW")


def locate_pixel_data(file: BinaryIO, header: Dataset) -> tuple[int | None, int | None]:
    """Locates the Pixel Data element at the current position of a file.

    Args:
        file: The file, positioned after the last element of the header.
        header: The header of the file.

    Returns:
        The number of bytes from the start of the element to the end of the file: 0 without Pixel Data, None if the file
        is deflated. And the offset of the value if it is uncompressed little endian and ends with the file, so that no
        damaged elements can follow the pixels; otherwise None.
    """
    if header.file_meta.TransferSyntaxUID.is_deflated:
        return None, None
    start = file.tell()
    head = file.read(12)
    size = file.seek(0, os.SEEK_END)
    if head[:4] not in _PIXEL_DATA_TAGS:
        return 0, None
    return size - start, _value_offset(start, head, size, header.file_meta.TransferSyntaxUID)


def _value_offset(start: int, head: bytes, size: int, syntax: str) -> int | None:
    if syntax not in _NATIVE_SYNTAXES or len(head) < 12:
        return None
    is_explicit = syntax == ExplicitVRLittleEndian
    if is_explicit and head[4:6] not in _PIXEL_VRS:
        return None
    (length,) = struct.unpack_from("<I", head, 8 if is_explicit else 4)
    offset = start + (12 if is_explicit else 8)
    return offset if offset + length == size else None


def read_uncompressed(file: BinaryIO, offset: int, header: Dataset) -> NDArray[Any] | None:
    """Returns the pixel cells of all frames [F, J, I] (frame, row, column), with all bits.

    Args:
        file: The file.
        offset: The offset of the value of Pixel Data, which ends with the file.
        header: The header of the file; Rows, Columns, Bits Allocated and Samples per Pixel have been checked.

    Returns:
        The cells. None if the header does not match the length of the value, or is irregular in another way: then a
        decoder must read the pixels or report the error.
    """
    shape = (int(header.get("NumberOfFrames") or 1), header.Rows, header.Columns)
    bits, sign = header.BitsAllocated, header.get("PixelRepresentation")
    if sign not in (0, 1) or not 0 < (header.get("BitsStored") or 0) <= bits:
        return None
    cells = np.empty(shape, f"<{'i' if sign else 'u'}{bits // 8}")
    if file.seek(0, os.SEEK_END) - offset not in (cells.nbytes, cells.nbytes + cells.nbytes % 2):
        return None
    file.seek(offset)
    if file.readinto(cells.data) != cells.nbytes:  # type: ignore[attr-defined]
        return None
    return cells
