"""What the numbers of a series are: Hounsfield units, SUVbw, or arbitrary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clickseg.arrays import Doubles
from clickseg.dicom.planes import Plane
from clickseg.dicom.real_world import real_world_mapping
from clickseg.dicom.series import CheckedSeries
from clickseg.dicom.suv import suv_of
from clickseg.errors import PixelDataError, SuvError


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


def _suv(series: CheckedSeries) -> Quantity:
    planes = series.stack.planes
    for plane in planes:
        if real_world_mapping(plane) is None:
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


def _pet_units(plane: Plane) -> str:
    """Returns Units (0054,1001), or what an Enhanced PET image gives in its place."""
    mapping = real_world_mapping(plane)
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


def _check_given(plane: Plane, keyword: str, tag: str) -> None:
    if plane.get(keyword) in (None, ""):
        raise PixelDataError(f"{plane.name}: {keyword} {tag} is missing")
