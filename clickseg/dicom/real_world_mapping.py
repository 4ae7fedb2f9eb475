"""The Real World Value Mapping of Enhanced PET images (PS3.3, C.7.6.16.2.11)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom import Dataset

from clickseg.core.errors import PixelDataError
from clickseg.dicom.hints import INVALID_VALUE_HINT
from clickseg.dicom.planes import Plane, functional_groups

_PET_UNITS = {"g/ml{SUVbw}": "GML", "{SUVbw}g/ml": "GML", "Bq/ml": "BQML", "{counts}": "CNTS"}
"""Supported UCUM units and the equivalent values of Units (0054,1001); the preferred unit first."""


@dataclass(frozen=True, slots=True)
class RealWorldMapping:
    """A linear mapping of stored values to real world values.

    Attributes:
        units: The units, as in Units (0054,1001).
        slope: Real World Value Slope.
        intercept: Real World Value Intercept.
    """

    units: str
    slope: float
    intercept: float


def real_world_mapping(plane: Plane) -> RealWorldMapping | None:
    """Returns the mapping of an Enhanced PET frame to a supported unit; None if the frame has none.

    Raises:
        PixelDataError: The mapping uses a table, or has no slope and intercept.
    """
    items_by_unit = {_mapping_unit(item): item for item in reversed(_mapping_items(plane))}
    for unit, units in _PET_UNITS.items():
        if unit in items_by_unit:
            slope, intercept = (
                _read_real_world_number(items_by_unit[unit], name, plane) for name in ("Slope", "Intercept")
            )
            return RealWorldMapping(units, slope, intercept)
    return None


def _mapping_unit(item: Dataset) -> str:
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


def _read_real_world_number(item: Dataset, name: str, plane: Plane) -> float:
    value = item.get(f"RealWorldValue{name}")
    if not isinstance(value, int | float) or not np.isfinite(value):
        tag = {"Slope": "(0040,9225)", "Intercept": "(0040,9224)"}[name]
        raise PixelDataError(
            f"{plane.name}: RealWorldValue{name} {tag}: expected a number, got {value!r:.40}", hint=INVALID_VALUE_HINT
        )
    return float(value)
