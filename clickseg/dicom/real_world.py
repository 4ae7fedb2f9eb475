"""What the values of an Enhanced PET image are, by its Real World Value Mapping (PS3.3, C.7.6.16.2.11)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom import Dataset

from clickseg.dicom.planes import Plane, functional_groups
from clickseg.errors import PixelDataError

_UNITS = {"g/ml{SUVbw}": "GML", "{SUVbw}g/ml": "GML", "Bq/ml": "BQML", "{counts}": "CNTS"}
"""UCUM units, the most wanted first, and what Units (0054,1001) calls them."""


@dataclass(frozen=True, slots=True)
class RealWorldMapping:
    """How stored values become values.

    Attributes:
        units: As in Units (0054,1001).
        slope: Real World Value Slope.
        intercept: Real World Value Intercept.
    """

    units: str
    slope: float
    intercept: float


def real_world_mapping(plane: Plane) -> RealWorldMapping | None:
    """Returns the mapping of a frame of an Enhanced PET image to a unit of PET, else None.

    Raises:
        PixelDataError: The mapping is by a table, or has no slope and intercept.
    """
    by_unit = {_unit(item): item for item in reversed(_items(plane))}
    for unit, units in _UNITS.items():
        if unit in by_unit:
            slope, intercept = (_real_world_number(by_unit[unit], name, plane) for name in ("Slope", "Intercept"))
            return RealWorldMapping(units, slope, intercept)
    return None


def _items(plane: Plane) -> list[Dataset]:
    if plane.frame_number is None or plane.instance.text("Modality") != "PT":
        return []
    for group in functional_groups(plane.instance.header, plane.frame_number):
        items = group.get("RealWorldValueMappingSequence")
        if items:
            return list(items)
    return []


def _unit(item: Dataset) -> str:
    codes = item.get("MeasurementUnitsCodeSequence")
    return str(codes[0].get("CodeValue") or "") if codes else ""


def _real_world_number(item: Dataset, name: str, plane: Plane) -> float:
    value = item.get(f"RealWorldValue{name}")
    if not isinstance(value, int | float) or not np.isfinite(value):
        tag = {"Slope": "(0040,9225)", "Intercept": "(0040,9224)"}[name]
        raise PixelDataError(f"{plane.name}: RealWorldValue{name} {tag}: expected a number, got {value!r:.40}")
    return float(value)
