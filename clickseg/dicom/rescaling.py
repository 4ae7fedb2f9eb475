"""From stored values to the values that they stand for: the modality transformation, and the factor to the unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_modality_lut

from clickseg.arrays import Doubles, Values
from clickseg.dicom.decoding import DECODE_ERRORS
from clickseg.dicom.planes import Plane
from clickseg.dicom.real_world import real_world_mapping
from clickseg.errors import PixelDataError
from clickseg.wording import first_line

_EXACT = 1 << 24
"""Up to here float32 holds every whole number."""


@dataclass(frozen=True, slots=True)
class _Line:
    """Slope and intercept."""

    slope: float
    intercept: float

    def is_exact(self, stored: NDArray[Any]) -> bool:
        """Whether float32 holds whatever the stored values can become, and every step to it."""
        if not (self.slope.is_integer() and self.intercept.is_integer()) or stored.dtype.itemsize > 2:
            return False
        reach = (1 << 8 * stored.dtype.itemsize) * abs(self.slope)
        return reach + abs(self.intercept) <= _EXACT


def write_values(stored: NDArray[Any], plane: Plane, factor: float, out: Values) -> None:
    """Writes the values of one frame: Modality LUT, or Rescale Slope and Intercept (PS3.3, C.11.1), times a factor.

    It is computed in float64 unless float32 gives the same bits. The presentation is left alone: MONOCHROME1 keeps its
    values. Real World Value Mapping counts only where an Enhanced PET image gives its units by it.

    Args:
        stored: The stored values [J, I].
        plane: What they are of.
        factor: What makes rescaled values the unit of the series.
        out: The values [J, I].

    Raises:
        PixelDataError: Slope or intercept are no numbers, or values are beyond 32 bits.
    """
    line = _line(plane)
    if line is not None and factor == 1 and line.is_exact(stored):
        np.multiply(stored, np.float32(line.slope), out=out)
        np.add(out, np.float32(line.intercept), out=out)
        return
    rescaled = _by_table(stored, plane) if line is None else stored * line.slope + line.intercept
    np.multiply(rescaled, factor, out=out, casting="same_kind")
    if not np.isfinite(out).all():
        raise PixelDataError(f"{plane.name}: values beyond 32 bits: RescaleSlope (0028,1053) is too large")


def _line(plane: Plane) -> _Line | None:
    """Returns the line that values lie on, else None: they are in a table."""
    if plane.frame_number is None and plane.instance.header.get("ModalityLUTSequence"):
        return None
    mapping = real_world_mapping(plane)
    if mapping is not None:
        return _Line(mapping.slope, mapping.intercept)
    slope, intercept = _rescale_number(plane, "RescaleSlope", 1.0), _rescale_number(plane, "RescaleIntercept", 0.0)
    if slope == 0:
        raise PixelDataError(f"{plane.name}: RescaleSlope (0028,1053): expected a number other than 0, got 0")
    return _Line(slope, intercept)


def _by_table(stored: NDArray[Any], plane: Plane) -> Doubles:
    try:
        return np.asarray(apply_modality_lut(stored, plane.instance.header), dtype=np.float64)
    except DECODE_ERRORS as error:
        raise PixelDataError(f"{plane.name}: ModalityLUTSequence (0028,3000): {first_line(error)}") from error


def _rescale_number(plane: Plane, keyword: str, default: float) -> float:
    value = plane.get(keyword)
    if value is None or value == "":
        return default
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise PixelDataError(f"{plane.name}: {keyword}: expected a number, got {value}") from error
    if not np.isfinite(number):
        raise PixelDataError(f"{plane.name}: {keyword}: expected a finite number, got {value}")
    return number
