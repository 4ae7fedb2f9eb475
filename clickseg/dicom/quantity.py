"""What the numbers of a series are: Hounsfield units, SUVbw, or arbitrary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clickseg.arrays import Doubles
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
        PixelDataError: A CT series is not in Hounsfield units.
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
    headers = [plane.instance.header for plane in series.stack.planes]
    try:
        suv = suv_of(headers)
    except SuvError as error:
        raise SuvError(f"{series.candidate.first.name}: {error}", hint=error.hint) from error
    return Quantity("SUVbw", suv.factors, suv.rule)


def _check_hounsfield(series: CheckedSeries) -> None:
    """CT numbers are HU unless Rescale Type says otherwise (PS3.3, C.11.1.1.2); derived ones must say so."""
    plane = series.stack.planes[0]
    if plane.get("RescaleSlope") is None or plane.get("RescaleIntercept") is None:
        raise PixelDataError(f"{plane.name}: RescaleSlope (0028,1053) or RescaleIntercept (0028,1052) is missing")
    rescale_type = str(plane.get("RescaleType") or "").strip()
    is_original = "ORIGINAL" in str(plane.get("ImageType") or plane.get("FrameType") or "")
    if rescale_type not in ("", "HU") and not (rescale_type == "US" and is_original):
        raise PixelDataError(
            f"{plane.name}: RescaleType (0028,1054): expected HU (Hounsfield units), got {rescale_type}"
        )
