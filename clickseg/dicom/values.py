"""What the numbers of a series are (Hounsfield units, SUVbw, or arbitrary), and how stored values become them.

That takes the modality transformation, and a factor to the unit; or the Real World Value Mapping of an Enhanced PET
image (PS3.3, C.7.6.16.2.11).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut

from clickseg.core.arrays import Doubles, Values
from clickseg.core.errors import PixelDataError, SuvError
from clickseg.core.text import first_line
from clickseg.dicom.decoding import DECODE_ERRORS
from clickseg.dicom.planes import Plane, functional_groups
from clickseg.dicom.series import CheckedSeries
from clickseg.dicom.suv import suv_of

_PET_UNITS = {"g/ml{SUVbw}": "GML", "{SUVbw}g/ml": "GML", "Bq/ml": "BQML", "{counts}": "CNTS"}
"""UCUM units, the most wanted first, and what Units (0054,1001) calls them."""

_EXACT = 1 << 24
"""Up to here float32 holds every whole number."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """How the rescaled values of a series become its unit.

    Attributes:
        unit: ``HU``, ``SUVbw``, or empty where the numbers have no unit (MR).
        factors: For each plane of the stack, the factor on its rescaled values.
        rule: What the factors come from, for the report; empty where they are 1.
    """

    unit: str
    factors: Doubles
    rule: str


def quantity_of(series: CheckedSeries) -> Quantity:
    """Returns the unit of a series, by its headers alone.

    Raises:
        SuvError: A PET series has no SUVbw; the message names the attribute that is missing or unfit.
        PixelDataError: A rescale slope or intercept is missing, or a CT series is not in Hounsfield units.
    """
    planes = series.stack.planes
    match series.candidate.modality:
        case "PT":
            return _suv(series)
        case "CT":
            _check_hounsfield(series)
            return Quantity("HU", np.ones(len(planes)), "")
        case _:
            return Quantity("", np.ones(len(planes)), "")


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


def _suv(series: CheckedSeries) -> Quantity:
    planes = series.stack.planes
    for plane in planes:
        if _real_world_mapping(plane) is None:
            _check_given(plane, "RescaleSlope", "(0028,1053)")
    headers = [plane.instance.header for plane in planes]
    scan = [instance.header for instance in series.candidate.instances]
    units = {_pet_units(plane) for plane in planes}
    if len(units) > 1:
        raise SuvError(f"{series.candidate.first.name}: {len(units)} units in one volume: {', '.join(sorted(units))}")
    try:
        suv = suv_of(headers, units=units.pop(), scan=scan)
    except SuvError as error:
        raise SuvError(f"{series.candidate.first.name}: {error}", hint=error.hint) from error
    return Quantity("SUVbw", suv.factors, suv.rule)


def _real_world_mapping(plane: Plane) -> _RealWorldMapping | None:
    """Returns the mapping of a frame of an Enhanced PET image to a unit of PET, else None.

    Raises:
        PixelDataError: The mapping is by a table, or has no slope and intercept.
    """
    by_unit = {_mapped_unit(item): item for item in reversed(_mapping_items(plane))}
    for unit, units in _PET_UNITS.items():
        if unit in by_unit:
            slope, intercept = (_real_world_number(by_unit[unit], name, plane) for name in ("Slope", "Intercept"))
            return _RealWorldMapping(units, slope, intercept)
    return None


@dataclass(frozen=True, slots=True)
class _RealWorldMapping:
    """How stored values become values.

    Attributes:
        units: As in Units (0054,1001).
        slope: Real World Value Slope.
        intercept: Real World Value Intercept.
    """

    units: str
    slope: float
    intercept: float


def _mapped_unit(item: Dataset) -> str:
    codes = item.get("MeasurementUnitsCodeSequence")
    return str(codes[0].get("CodeValue") or "") if codes else ""


def _mapping_items(plane: Plane) -> list[Dataset]:
    if plane.frame_number is None or plane.instance.text("Modality") != "PT":
        return []
    for group in functional_groups(plane.instance.header, plane.frame_number):
        items = group.get("RealWorldValueMappingSequence")
        if items:
            return list(items)
    return []


def _real_world_number(item: Dataset, name: str, plane: Plane) -> float:
    value = item.get(f"RealWorldValue{name}")
    if not isinstance(value, int | float) or not np.isfinite(value):
        tag = {"Slope": "(0040,9225)", "Intercept": "(0040,9224)"}[name]
        raise PixelDataError(f"{plane.name}: RealWorldValue{name} {tag}: expected a number, got {value!r:.40}")
    return float(value)


def _check_given(plane: Plane, keyword: str, tag: str) -> None:
    if plane.get(keyword) in (None, ""):
        raise PixelDataError(f"{plane.name}: {keyword} {tag} is missing")


def _pet_units(plane: Plane) -> str:
    """Returns Units (0054,1001), or what an Enhanced PET image gives in its place."""
    mapping = _real_world_mapping(plane)
    if mapping is not None:
        return mapping.units
    return plane.instance.text("Units") or str(plane.get("RescaleType") or "").strip()


def _check_hounsfield(series: CheckedSeries) -> None:
    """CT numbers are HU unless Rescale Type says otherwise (PS3.3, C.11.1.1.2); derived ones must say so."""
    for plane in series.stack.planes:
        if not plane.instance.header.get("ModalityLUTSequence"):
            _check_given(plane, "RescaleSlope", "(0028,1053)")
            _check_given(plane, "RescaleIntercept", "(0028,1052)")
        rescale_type = str(plane.get("RescaleType") or "").strip()
        is_original = "ORIGINAL" in str(plane.get("ImageType") or plane.get("FrameType") or "")
        if rescale_type not in ("", "HU") and not (rescale_type == "US" and is_original):
            raise PixelDataError(
                f"{plane.name}: RescaleType (0028,1054): expected HU (Hounsfield units), got {rescale_type}"
            )


def _line(plane: Plane) -> _Line | None:
    """Returns the line that values lie on, else None: they are in a table."""
    if plane.frame_number is None and plane.instance.header.get("ModalityLUTSequence"):
        return None
    mapping = _real_world_mapping(plane)
    if mapping is not None:
        return _Line(mapping.slope, mapping.intercept)
    slope, intercept = _rescale_number(plane, "RescaleSlope", 1.0), _rescale_number(plane, "RescaleIntercept", 0.0)
    if slope == 0:
        raise PixelDataError(f"{plane.name}: RescaleSlope (0028,1053): expected a number other than 0, got 0")
    return _Line(slope, intercept)


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


def _by_table(stored: NDArray[Any], plane: Plane) -> Doubles:
    try:
        return np.asarray(apply_modality_lut(stored, plane.instance.header), dtype=np.float64)
    except DECODE_ERRORS as error:
        raise PixelDataError(f"{plane.name}: ModalityLUTSequence (0028,3000): {first_line(error)}") from error
