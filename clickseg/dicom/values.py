"""Converts stored values to values with a unit: Hounsfield units, SUVbw, or arbitrary units (MR).

The conversion is the modality transformation and a factor to the unit, or the Real World Value Mapping of an Enhanced
PET image (PS3.3, C.7.6.16.2.11).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_modality_lut

from clickseg.core.arrays import Float32Array, FloatArray
from clickseg.core.errors import PixelDataError, SuvError
from clickseg.core.text import first_line
from clickseg.dicom.decoding import DECODE_ERRORS
from clickseg.dicom.hints import INVALID_VALUE_HINT, MISSING_VALUE_HINT
from clickseg.dicom.planes import Plane
from clickseg.dicom.real_world_mapping import real_world_mapping
from clickseg.dicom.series import SeriesGeometry
from clickseg.dicom.suv import compute_suv_scaling

logger = logging.getLogger(__name__)

_MAX_EXACT_INTEGER = 1 << 24
"""Up to this limit, float32 represents every integer."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """The unit of a series, and the factors that convert rescaled values to this unit.

    Attributes:
        unit: ``HU``, ``SUVbw``, or empty if the values have no unit (MR).
        factors: The factor for the rescaled values of each plane of the stack.
        rule: How the factors were computed, for the report; empty if no conversion was needed.
    """

    unit: str
    factors: FloatArray
    rule: str


def determine_quantity(series: SeriesGeometry) -> Quantity:
    """Determines the unit of a series from its headers.

    Raises:
        SuvError: SUVbw cannot be computed for a PET series; the message names the missing or invalid attribute.
        PixelDataError: A rescale slope or intercept is missing, or a CT series is not in Hounsfield units.
    """
    planes = series.stack.planes
    match series.files.modality:
        case "PT":
            return _suv_quantity(series)
        case "CT":
            _check_hounsfield(series)
            return Quantity("HU", np.ones(len(planes)), "")
        case _:
            return Quantity("", np.ones(len(planes)), "")


def rescale_frame(stored: NDArray[Any], plane: Plane, factor: float, out: Float32Array) -> None:
    """Rescales one frame: Modality LUT, or Rescale Slope and Intercept (PS3.3, C.11.1), multiplied by a factor.

    The computation is in float64, or in float32 if the result has the same bits. The presentation is ignored: values of
    MONOCHROME1 are not inverted. Real World Value Mapping is used only if it gives the units of an Enhanced PET image.

    Args:
        stored: The stored values [J, I].
        plane: The plane of the frame.
        factor: The factor that converts rescaled values to the unit of the series.
        out: The rescaled values [J, I]; overwritten.

    Raises:
        PixelDataError: Slope or intercept is not a number, or values exceed the range of float32.
    """
    rescale = _read_rescale(plane)
    if rescale is not None and factor == 1 and rescale.is_exact_in_float32(stored):
        np.multiply(stored, np.float32(rescale.slope), out=out)
        np.add(out, np.float32(rescale.intercept), out=out)
        return
    rescaled = _apply_lut(stored, plane) if rescale is None else stored * rescale.slope + rescale.intercept
    np.multiply(rescaled, factor, out=out, casting="same_kind")
    if not np.isfinite(out).all():
        raise PixelDataError(
            f"{plane.name}: values exceed the range of float32: RescaleSlope (0028,1053) is too large",
            hint=INVALID_VALUE_HINT,
        )


def _suv_quantity(series: SeriesGeometry) -> Quantity:
    planes = series.stack.planes
    for plane in planes:
        if real_world_mapping(plane) is None:
            _check_present(plane, "RescaleSlope", "(0028,1053)")
    headers = [plane.instance.header for plane in planes]
    series_headers = [instance.header for instance in series.files.instances]
    units = {_pet_units(plane) for plane in planes}
    if len(units) > 1:
        raise SuvError(
            f"{series.files.first_instance.name}: {len(units)} units in one volume: {', '.join(sorted(units))}",
            hint="send the images of each unit as a series of their own",
        )
    try:
        scaling = compute_suv_scaling(headers, units=units.pop(), series_headers=series_headers)
    except SuvError as error:
        raise SuvError(f"{series.files.first_instance.name}: {error}", hint=error.hint) from error
    for warning in scaling.warnings:
        logger.warning("%s: %s", series.files, warning)
    return Quantity("SUVbw", scaling.factors, scaling.rule)


def _check_present(plane: Plane, keyword: str, tag: str) -> None:
    if plane.get(keyword) in (None, ""):
        raise PixelDataError(
            f"{plane.name}: {keyword} {tag} is missing",
            hint=MISSING_VALUE_HINT,
        )


def _pet_units(plane: Plane) -> str:
    """Returns Units (0054,1001), or the equivalent in an Enhanced PET image."""
    mapping = real_world_mapping(plane)
    if mapping is not None:
        return mapping.units
    return plane.instance.text("Units") or str(plane.get("RescaleType") or "").strip()


def _check_hounsfield(series: SeriesGeometry) -> None:
    """Checks that CT values are HU, the default of Rescale Type (PS3.3, C.11.1.1.2).

    ``US`` (unspecified) is accepted in original images only.
    """
    for plane in series.stack.planes:
        if not plane.instance.header.get("ModalityLUTSequence"):
            _check_present(plane, "RescaleSlope", "(0028,1053)")
            _check_present(plane, "RescaleIntercept", "(0028,1052)")
        rescale_type = str(plane.get("RescaleType") or "").strip()
        is_original = "ORIGINAL" in str(plane.get("ImageType") or plane.get("FrameType") or "")
        if rescale_type not in ("", "HU") and not (rescale_type == "US" and is_original):
            raise PixelDataError(
                f"{plane.name}: RescaleType (0028,1054): expected HU (Hounsfield units), got {rescale_type}",
                hint="use the original CT series, in Hounsfield units",
            )


def _read_rescale(plane: Plane) -> _Rescale | None:
    """Returns slope and intercept; None if the frame uses a Modality LUT instead."""
    if plane.frame_number is None and plane.instance.header.get("ModalityLUTSequence"):
        return None
    mapping = real_world_mapping(plane)
    if mapping is not None:
        return _Rescale(mapping.slope, mapping.intercept)
    slope, intercept = (
        _read_rescale_number(plane, "RescaleSlope", "(0028,1053)", 1.0),
        _read_rescale_number(plane, "RescaleIntercept", "(0028,1052)", 0.0),
    )
    if slope == 0:
        raise PixelDataError(
            f"{plane.name}: RescaleSlope (0028,1053): expected a number other than 0, got 0", hint=INVALID_VALUE_HINT
        )
    return _Rescale(slope, intercept)


@dataclass(frozen=True, slots=True)
class _Rescale:
    """Slope and intercept of the modality transformation."""

    slope: float
    intercept: float

    def is_exact_in_float32(self, stored: NDArray[Any]) -> bool:
        """Whether float32 represents all intermediate and final values that the type of the stored values allows."""
        if not (self.slope.is_integer() and self.intercept.is_integer()) or stored.dtype.itemsize > 2:
            return False
        largest = (1 << 8 * stored.dtype.itemsize) * abs(self.slope)
        return largest + abs(self.intercept) <= _MAX_EXACT_INTEGER


def _read_rescale_number(plane: Plane, keyword: str, tag: str, default: float) -> float:
    value = plane.get(keyword)
    if value is None or value == "":
        return default
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise PixelDataError(
            f"{plane.name}: {keyword} {tag}: expected a number, got {value}", hint=INVALID_VALUE_HINT
        ) from error
    if not np.isfinite(number):
        raise PixelDataError(
            f"{plane.name}: {keyword} {tag}: expected a finite number, got {value}", hint=INVALID_VALUE_HINT
        )
    return number


def _apply_lut(stored: NDArray[Any], plane: Plane) -> FloatArray:
    try:
        return np.asarray(apply_modality_lut(stored, plane.instance.header), dtype=np.float64)
    except DECODE_ERRORS as error:
        raise PixelDataError(
            f"{plane.name}: ModalityLUTSequence (0028,3000): {first_line(error)}", hint=INVALID_VALUE_HINT
        ) from error
