"""Whether a file holds all that its header promises, as far as ITK does not look itself."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

from clickseg.errors import InputError

_PIECE_BYTES = 1 << 20
_HEAD_BYTES = 1 << 20


def check_holds_its_values(path: Path, ending: str) -> None:
    """Refuses headers that name another file for the values: the name could be of any file there is.

    Raises:
        InputError: The file cannot be read, or is such a header.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read: {error.strerror}") from error
    if ending == ".nrrd":
        head, end, _ = head.replace(b"\r\n", b"\n").partition(b"\n\n")
        if not end:
            raise InputError(f"{path.name}: expected a header of at most {_HEAD_BYTES} bytes that a blank line ends")
    lines = [line.strip() for line in head.replace(b" ", b"").lower().split(b"\n")]
    is_meta = ending == ".mha" and b"elementdatafile=local" not in lines
    is_nrrd = ending == ".nrrd" and any(line.startswith(b"datafile:") for line in lines)
    if is_meta or is_nrrd:
        raise InputError(f"{path.name}: expected its values in the same file, got the name of another one")


def check_whole_nifti(path: Path, reader: Any) -> None:
    """Refuses a NIfTI file that was cut or damaged: where values are missing, ITK takes 0 for them.

    Args:
        path: The file.
        reader: SimpleITK's reader, which has read the header.

    Raises:
        InputError: Values are missing, or what is compressed is damaged.
    """
    counts = [int(reader.GetMetaData(f"dim[{axis}]")) for axis in range(1, 1 + int(reader.GetMetaData("dim[0]")))]
    bits = int(reader.GetMetaData("bitpix"))
    for count in counts:
        bits *= count
    expected = int(float(reader.GetMetaData("vox_offset"))) + bits // 8
    found = _size(path)
    if found < expected:
        raise InputError(f"{path.name}: expected {expected} bytes by its header, got {found}: it was cut")


def _size(path: Path) -> int:
    """Returns how many bytes are in a file once they are expanded; nothing of them is kept."""
    if not path.name.lower().endswith(".gz"):
        return path.stat().st_size
    size = 0
    try:
        with gzip.open(path) as file:
            while piece := file.read(_PIECE_BYTES):
                size += len(piece)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path.name}: it was cut, or is damaged: {error}") from error
    return size
