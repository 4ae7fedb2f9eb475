"""Extracts stored values from pixel cells (PS3.5, 8.1.1): a value is in the bits that end at High Bit.

High Bit is Bits Stored - 1 in current images. Images of old scanners have a larger one, with the value in the upper
bits of each cell. The other bits of a cell can contain anything, such as overlays.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from clickseg.core.errors import PixelDataError
from clickseg.dicom.conversion import READ_ERRORS
from clickseg.dicom.part10 import Instance

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CellRange:
    """The range of pixel cells, read as numbers of Bits Allocated bits.

    Attributes:
        lowest: The lowest number that is not Pixel Padding Value.
        highest: The highest number.
    """

    lowest: int
    highest: int


def has_shifted_values(header: Dataset) -> bool:
    """Whether the values of an image are not in the lowest bits of the cells, by its header."""
    return _bits_below_value(header) > 0


def extract_values(cells: NDArray[Any], header: Dataset, *, ignore_high_bit: bool = False) -> NDArray[Any]:
    """Returns the stored values in pixel cells; overwrites the cells.

    Args:
        cells: The pixel cells, of a type with Bits Allocated bits, signed if Pixel Representation is 1.
        header: The header of the image.
        ignore_high_bit: Whether the values are in the lowest bits, whatever High Bit is.
    """
    unused = 8 * cells.dtype.itemsize - (header.get("BitsStored") or 0)
    below = 0 if ignore_high_bit else _bits_below_value(header)
    if unused > 0 and header.get("BitsStored"):
        np.left_shift(cells, unused - below, out=cells)
        np.right_shift(cells, unused, out=cells)  # an arithmetic shift, which repeats the sign bit, if signed
    return cells


def cell_range(cells: NDArray[Any], header: Dataset) -> CellRange | None:
    """Returns the range of signed cells with unused bits above the value; None for other images."""
    bits, stored = 8 * cells.dtype.itemsize, header.get("BitsStored") or 0
    if cells.dtype.kind != "i" or not 0 < stored < bits or has_shifted_values(header) or not cells.size:
        return None
    lowest, padding = int(cells.min()), header.get("PixelPaddingValue")
    if lowest < 0 and isinstance(padding, int):
        is_padding = cells == np.array(padding % (1 << bits), f"u{bits // 8}").astype(cells.dtype)
        lowest = int(cells.min(where=~is_padding, initial=np.iinfo(cells.dtype).max))
    return CellRange(lowest, int(cells.max()))


def check_bits_stored(instances: Sequence[Instance], ranges: Sequence[CellRange | None]) -> None:
    """Rejects a series whose cells contain numbers that need more bits than Bits Stored.

    Cells with other data in the unused bits are valid, so these numbers are recognized by the negative cells of the
    series: if each is a negative number within Bits Stored, with its sign repeated in all higher bits, then all cells
    are numbers, and a large one is not a value with an overlay.

    Args:
        instances: The instances of a series.
        ranges: The range of each instance, made by ``cell_range``.

    Raises:
        PixelDataError: Bits Stored is too small.
    """
    pairs = [(instance, cells) for instance, cells in zip(instances, ranges, strict=True) if cells is not None]
    lowest = min((cells.lowest for _, cells in pairs), default=0)
    for instance, cells in pairs:
        bits = instance.header.BitsStored
        if -(1 << (bits - 1)) <= lowest < 0 and cells.highest >= 1 << (bits - 1):
            raise PixelDataError(
                f"{instance.name}: BitsStored (0028,0101): expected at least {cells.highest.bit_length() + 1} bits for "
                f"the stored values {lowest} to {cells.highest}, got {bits}",
                hint="the header contradicts the pixels; ask the sending modality",
            )


def is_high_bit_wrong(instances: Sequence[Instance], read_cells: Callable[[Instance], NDArray[Any]]) -> bool:
    """Whether High Bit of a series contradicts its pixels: the values are in the lowest bits. Then logs a warning.

    This is the case if no cell uses a bit above Bits Stored, but the bits below the value are used.

    Args:
        instances: The instances of a series.
        read_cells: Reads the pixel cells of an instance; called only for instances with shifted values.
    """
    shifted = [instance for instance in instances if has_shifted_values(instance.header)]
    are_low_bits_used = False
    for instance in shifted:
        cells, bits = read_cells(instance), instance.header.BitsStored
        if cells.min() < -(1 << (bits - 1)) or cells.max() >= 1 << bits:
            return False
        are_low_bits_used |= bool((cells & ((1 << _bits_below_value(instance.header)) - 1)).any())
    if are_low_bits_used:
        logger.warning(
            "%s: HighBit (0028,0102) is %s, but the pixels use only the lowest %s bits: HighBit is ignored",
            shifted[0].name,
            shifted[0].header.HighBit,
            shifted[0].header.BitsStored,
        )
    return are_low_bits_used


def _bits_below_value(header: Dataset) -> int:
    """Returns the number of bits of a cell below the value; 0 if High Bit is missing or impossible."""
    try:
        high_bit = header.get("HighBit")
    except READ_ERRORS:
        return 0
    stored, allocated = header.get("BitsStored") or 0, header.get("BitsAllocated") or 0
    if not isinstance(high_bit, int) or not 0 < stored <= high_bit < allocated:
        return 0
    return high_bit + 1 - stored
