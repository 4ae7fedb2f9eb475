"""Reads and decodes stored pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from clickseg.core.arrays import Mask
from clickseg.core.errors import PixelDataError
from clickseg.core.text import first_line
from clickseg.dicom.codes import SINGLE_FRAME_SOP_CLASSES
from clickseg.dicom.decoding import DECODE_ERRORS, check_transfer_syntax, decode
from clickseg.dicom.part10 import Instance
from clickseg.dicom.stored import read_uncompressed

_DAMAGED_HINT = "send the file again"


def check_decodable(instance: Instance) -> None:
    """Rejects, by the header alone, an instance whose pixels cannot be decoded to grey values.

    Raises:
        PixelDataError: The file is truncated, the image has colours, or the transfer syntax has no decoder.
    """
    header = instance.header
    samples, photometric = header.get("SamplesPerPixel"), instance.text("PhotometricInterpretation")
    if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise PixelDataError(
            f"{instance.name}: PhotometricInterpretation (0028,0004): expected MONOCHROME1 or MONOCHROME2 with one "
            f"sample, got {photometric or 'no value'} with {samples}",
            hint="use the original images, whose pixels are grey values",
        )
    if header.get("NumberOfFrames", 1) not in (None, 1) and instance.text("SOPClassUID") in SINGLE_FRAME_SOP_CLASSES:
        raise PixelDataError(
            f"{instance.name}: NumberOfFrames (0028,0008): expected 1 in a single-frame image, got "
            f"{header.NumberOfFrames}",
            hint="send the series as images with one frame each, or as an Enhanced multi-frame image",
        )
    if header.get("BitsAllocated") not in (8, 16, 32):
        raise PixelDataError(
            f"{instance.name}: BitsAllocated (0028,0100): expected 8, 16 or 32, got {header.get('BitsAllocated')}",
            hint="export the images with 16 bits allocated for each pixel",
        )
    check_transfer_syntax(header.file_meta.TransferSyntaxUID, header.get("BitsStored", 0), instance.name)
    _check_length(instance)


def read_cells(instance: Instance) -> NDArray[Any]:
    """Returns the pixel cells of all frames [F, J, I] (frame, row, column), decoded but with all bits.

    ``extract_values`` extracts the stored values.

    Raises:
        PixelDataError: The pixel data are truncated or damaged, or their size differs from the header.
    """
    try:
        cells = _read_cells(instance)
    except DECODE_ERRORS as error:
        raise PixelDataError(
            f"{instance.name}: pixel data cannot be decoded: {first_line(error)}", hint=_DAMAGED_HINT
        ) from error
    frames = cells[np.newaxis] if cells.ndim == 2 else cells
    expected = (
        int(instance.header.get("NumberOfFrames") or 1),
        instance.header.Rows,
        instance.header.Columns,
    )
    if frames.shape != expected:
        raise PixelDataError(
            f"{instance.name}: pixel data: expected {expected} (frames, rows, columns), got {frames.shape}",
            hint=_DAMAGED_HINT,
        )
    return frames


def _read_cells(instance: Instance) -> NDArray[Any]:
    """Reads uncompressed pixels directly from the file if possible; otherwise parses the file again and decodes it."""
    if instance.pixel_offset is not None:
        with instance.path.open("rb") as file:
            cells = read_uncompressed(file, instance.pixel_offset, instance.header)
        if cells is not None:
            return cells
    dataset = dcmread(instance.path, force=True)
    dataset.file_meta = instance.header.file_meta
    return decode(dataset)


def padding_mask(stored: NDArray[Any], header: Dataset) -> Mask | None:
    """Returns the mask of Pixel Padding (PS3.3, C.7.5.1.1.2); None if no stored value is padding."""
    value = header.get("PixelPaddingValue")
    if value in (None, ""):
        return None
    limit = header.get("PixelPaddingRangeLimit")
    bounds = sorted(_to_stored_type(bound, stored.dtype) for bound in (value, value if limit in (None, "") else limit))
    mask = (stored >= bounds[0]) & (stored <= bounds[1])
    return mask if mask.any() else None


def _to_stored_type(value: int, dtype: np.dtype[Any]) -> int:
    """Converts a padding value to the type of the pixels: signed values are often written as unsigned."""
    size = 8 * dtype.itemsize
    unsigned = int(value) % (1 << size)
    return unsigned - (1 << size) if dtype.kind == "i" and unsigned >= 1 << (size - 1) else unsigned


def _check_length(instance: Instance) -> None:
    header = instance.header
    if instance.pixel_bytes is None or header.file_meta.TransferSyntaxUID.is_compressed:
        return
    frames = int(header.get("NumberOfFrames") or 1)
    declared = header.Rows * header.Columns * frames * header.BitsAllocated // 8
    if instance.pixel_bytes < declared:
        raise PixelDataError(
            f"{instance.name}: truncated: {header.Columns} x {header.Rows} x {frames} pixels need {declared} bytes, "
            f"the file contains at most {instance.pixel_bytes}",
            hint=_DAMAGED_HINT,
        )
