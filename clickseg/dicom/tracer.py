"""The injected radiopharmaceutical of a PET series: dose and half-life, checked against values that occur."""

from __future__ import annotations

import math

from pydicom import Dataset

from clickseg.core.errors import SuvError
from clickseg.dicom.radionuclide import coded_radionuclide

_DOSE_BOUNDS_BQ = (1e5, 1e11)
"""0.1 MBq to 100 GBq, from a mouse to a therapy. A dose in MBq, kBq or mCi is below, a dose in mBq above."""
_HALF_LIFE_TOLERANCE = 0.02
"""Scanners have half-lives that differ by up to 1 %, such as 6588 s and 6586.2 s for F-18."""


def tracer_item(header: Dataset) -> Dataset:
    """Returns the item of Radiopharmaceutical Information Sequence (0054,0016).

    Raises:
        SuvError: The sequence is missing or empty.
    """
    sequence = header.get("RadiopharmaceuticalInformationSequence")
    if not sequence:
        raise SuvError("RadiopharmaceuticalInformationSequence (0054,0016) is missing")
    item: Dataset = sequence[0]
    return item


def injected_dose_bq(tracer: Dataset) -> float:
    """Returns Radionuclide Total Dose (0018,1074) in Bq.

    Args:
        tracer: The item of Radiopharmaceutical Information Sequence.

    Raises:
        SuvError: The dose is missing, or is not one in Bq.
    """
    dose_bq = read_positive(tracer, "RadionuclideTotalDose", "(0018,1074)")
    low, high = _DOSE_BOUNDS_BQ
    if not low <= dose_bq <= high:
        raise SuvError(
            f"RadionuclideTotalDose (0018,1074): expected a dose in Bq, {low:.0e} to {high:.0e}, got {dose_bq:g}",
            hint="the dose is probably in another unit, such as MBq: correct it where it was entered or exported",
        )
    return dose_bq


def half_life_s(tracer: Dataset) -> float:
    """Returns Radionuclide Half Life (0018,1075) in seconds.

    Args:
        tracer: The item of Radiopharmaceutical Information Sequence.

    Raises:
        SuvError: The half-life is missing, or differs from that of the coded radionuclide.
    """
    seconds = read_positive(tracer, "RadionuclideHalfLife", "(0018,1075)")
    nuclide = coded_radionuclide(tracer)
    if nuclide is not None and abs(seconds / nuclide.half_life_s - 1) > _HALF_LIFE_TOLERANCE:
        raise SuvError(
            f"RadionuclideHalfLife (0018,1075): expected {nuclide.half_life_s:.6g} s, because the code of the "
            f"tracer is that of {nuclide}, got {seconds:g}",
            hint="the half-life, possibly in another unit, or the code is wrong: correct it at the modality",
        )
    return seconds


def read_positive(dataset: Dataset, keyword: str, tag: str) -> float:
    """Returns the value of an attribute that must be a number above 0.

    Raises:
        SuvError: The value is missing, not a number, or not above 0.
    """
    value = dataset.get(keyword)
    if value is None or str(value).strip() == "":
        raise SuvError(f"{keyword} {tag} is missing")
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise SuvError(f"{keyword} {tag}: expected a number above 0, got {value}") from error
    if not math.isfinite(number) or number <= 0:
        raise SuvError(f"{keyword} {tag}: expected a number above 0, got {value}")
    return number
