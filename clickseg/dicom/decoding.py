"""Choosing the decoder for each transfer syntax, and keeping from it what it would not survive.

GDCM ends the process on a JPEG whose frame is not as large as the header says (measured), so the size in a codestream
is compared before any decoder sees it, and GDCM decodes only what nothing else here does.
"""

from __future__ import annotations

import struct
from typing import Any

from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from clickseg.core.errors import PixelDataError
from clickseg.dicom.part10 import PARSE_ERRORS

DECODE_ERRORS = (*PARSE_ERRORS, MemoryError, OSError, RuntimeError)
"""What decoders raise, and pydicom on a damaged file."""

_PLUGINS = {
    JPEGBaseline8Bit: "pillow",
    JPEGExtended12Bit: "pillow",
    JPEGLossless: "gdcm",
    JPEGLosslessSV1: "gdcm",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg",
    JPEG2000: "pylibjpeg",
    HTJ2KLossless: "pylibjpeg",
    HTJ2KLosslessRPCL: "pylibjpeg",
    HTJ2K: "pylibjpeg",
    RLELossless: "pylibjpeg",
}
_CONVERT = "convert it to an uncompressed transfer syntax first (dcmtk's dcmconv or dcmdjpeg, gdcmconv)"
_JPEG_2000 = b"\xff\x4f\xff\x51"
_COMPONENTS = 40
"""Where Csiz stands in a codestream (ISO/IEC 15444-1, A.5.1)."""

_JPEG = b"\xff\xd8"
_JPEG_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7})
"""Start Of Frame markers (ITU-T T.81, B.1.1.3), and that of JPEG-LS (ITU-T T.87, C.1.1)."""


def check_transfer_syntax(syntax: UID, bits_stored: int, where: str) -> None:
    """Refuses a transfer syntax that cannot be decoded.

    Args:
        syntax: The transfer syntax.
        bits_stored: Bits Stored (0028,0101).
        where: What is encoded so, for the message.

    Raises:
        PixelDataError: It is retired, is no image encoding, or has no decoder here.
    """
    what = f"{where}: TransferSyntaxUID (0002,0010): {syntax.name} ({syntax})"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise PixelDataError(f"{what} is retired or no image encoding: it cannot be decoded", hint=_CONVERT) from error
    if syntax in _PLUGINS and _PLUGINS[syntax] not in decoder.available_plugins:
        raise PixelDataError(f"{what} has no decoder here: {', '.join(decoder.missing_dependencies)}")
    if syntax == JPEGExtended12Bit and bits_stored > 8:
        raise PixelDataError(
            f"{what} holds {bits_stored} bits a pixel: permissively licensed decoders read 8", hint=_CONVERT
        )


def decode(dataset: Dataset) -> NDArray[Any]:
    """Returns the stored pixel values of a data set with pixel data.

    Raises:
        ValueError: A codestream's frame is not as large as the data set says. Decoders raise what they like besides.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated and syntax != RLELossless:
        _check_codestreams(dataset)
    try:
        return pixel_array(dataset, raw=True, decoding_plugin=_PLUGINS.get(syntax, ""))
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"the decoder gave up: {error}") from None


def _check_codestreams(dataset: Dataset) -> None:
    expected = (dataset.Rows, dataset.Columns, dataset.SamplesPerPixel)
    for frame in generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1)):
        found = frame_size(frame)
        if found != expected:
            raise ValueError(
                f"the codestream holds {found or 'no frame'}, the header says {expected} (rows, columns, samples)"
            )


Size = tuple[int, int, int]


def frame_size(codestream: bytes) -> Size | None:
    """Returns rows, columns and samples of a JPEG, JPEG-LS or JPEG 2000 codestream, or None without a frame header."""
    try:
        if codestream.startswith(_JPEG_2000):
            width, height, left, top = struct.unpack_from(">4I", codestream, 8)
            return height - top, width - left, struct.unpack_from(">H", codestream, _COMPONENTS)[0]
        return _jpeg_frame_size(codestream) if codestream.startswith(_JPEG) else None
    except (IndexError, struct.error):
        return None


def _jpeg_frame_size(codestream: bytes) -> Size | None:
    """Walks from marker to marker to the frame header."""
    offset = len(_JPEG)
    while codestream[offset] == 0xFF:
        marker = codestream[offset + 1]
        if marker in _JPEG_FRAMES:
            rows, columns, samples = struct.unpack_from(">2HB", codestream, offset + 5)
            return rows, columns, samples
        offset += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", codestream, offset + 2)[0]
    return None
