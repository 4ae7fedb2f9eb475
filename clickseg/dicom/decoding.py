"""Selects the decoder for each transfer syntax, and protects it from invalid input.

GDCM terminates the process if the frame size of a JPEG codestream differs from the header (measured). The size in the
codestream is therefore checked before decoding, and GDCM is used only for transfer syntaxes without another decoder.
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
from clickseg.dicom.conversion import PARSE_ERRORS

DECODE_ERRORS = (*PARSE_ERRORS, MemoryError, OSError, RuntimeError)
"""Exceptions that decoders raise, and pydicom for a damaged file."""

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
_CONVERT_HINT = "convert it to an uncompressed transfer syntax first (dcmtk's dcmconv or dcmdjpeg, gdcmconv)"
_JPEG_2000_START = b"\xff\x4f\xff\x51"
_CSIZ_OFFSET = 40
"""Offset of Csiz, the number of components, in a codestream (ISO/IEC 15444-1, A.5.1)."""

_JPEG_START = b"\xff\xd8"
_JPEG_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7})
"""Start Of Frame markers (ITU-T T.81, B.1.1.3), and the marker of JPEG-LS (ITU-T T.87, C.1.1)."""


def check_transfer_syntax(syntax: UID, bits_stored: int, name: str) -> None:
    """Rejects a transfer syntax that cannot be decoded.

    Args:
        syntax: The transfer syntax.
        bits_stored: Bits Stored (0028,0101).
        name: The file, for the message.

    Raises:
        PixelDataError: The transfer syntax is retired, is not an image encoding, or has no installed decoder.
    """
    prefix = f"{name}: TransferSyntaxUID (0002,0010): {syntax.name} ({syntax})"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise PixelDataError(f"{prefix} is retired or not an image encoding", hint=_CONVERT_HINT) from error
    if syntax in _PLUGINS and _PLUGINS[syntax] not in decoder.available_plugins:
        raise PixelDataError(
            f"{prefix} has no installed decoder: {', '.join(decoder.missing_dependencies)}",
            hint=f"install ClickSeg again with all its dependencies, or {_CONVERT_HINT}",
        )
    if syntax == JPEGExtended12Bit and bits_stored > 8:
        raise PixelDataError(
            f"{prefix} has {bits_stored} bits per pixel: decoders with a permissive licence read only 8",
            hint=_CONVERT_HINT,
        )


def decode(dataset: Dataset) -> NDArray[Any]:
    """Returns the pixel cells of a data set with pixel data, with all bits.

    The samples of a codestream can have fewer bits than a cell; pydicom extends them by zeros or by the sign.

    Raises:
        ValueError: The frame size of a codestream differs from the data set.
        Exception: The decoder failed; see ``DECODE_ERRORS``.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated and syntax != RLELossless:
        _check_codestreams(dataset)
    try:
        return pixel_array(dataset, raw=True, decoding_plugin=_PLUGINS.get(syntax, ""), correct_unused_bits=False)
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"the decoder failed: {error}") from None


def _check_codestreams(dataset: Dataset) -> None:
    expected = (dataset.Rows, dataset.Columns, dataset.SamplesPerPixel)
    for frame in generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1)):
        size = frame_size(frame)
        if size != expected:
            raise ValueError(
                f"codestream: expected {expected} (rows, columns, samples) as in the header, "
                f"got {size or 'no frame header'}"
            )


FrameSize = tuple[int, int, int]
"""Rows, columns, and samples per pixel."""


def frame_size(codestream: bytes) -> FrameSize | None:
    """Returns the size in a JPEG, JPEG-LS or JPEG 2000 codestream; None if it has no frame header."""
    try:
        if codestream.startswith(_JPEG_2000_START):
            width, height, left, top = struct.unpack_from(">4I", codestream, 8)
            return height - top, width - left, struct.unpack_from(">H", codestream, _CSIZ_OFFSET)[0]
        return _jpeg_frame_size(codestream) if codestream.startswith(_JPEG_START) else None
    except (IndexError, struct.error):
        return None


def _jpeg_frame_size(codestream: bytes) -> FrameSize | None:
    """Reads the size from the frame header, which is found by following the markers."""
    offset = len(_JPEG_START)
    while codestream[offset] == 0xFF:
        marker = codestream[offset + 1]
        if marker in _JPEG_FRAME_MARKERS:
            rows, columns, samples = struct.unpack_from(">2HB", codestream, offset + 5)
            return rows, columns, samples
        offset += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", codestream, offset + 2)[0]
    return None
