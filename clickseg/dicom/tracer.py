"""The injected radiopharmaceutical of a PET series: dose and half-life, checked against values that occur."""

from __future__ import annotations

import math
import re

from pydicom import Dataset
from pydicom import Sequence as DicomSequence
from pydicom.datadict import keyword_for_tag
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import EnhancedPETImageStorage

from clickseg.core.errors import SuvError
from clickseg.dicom.hints import INVALID_VALUE_HINT, MISSING_VALUE_HINT
from clickseg.dicom.radionuclide import coded_radionuclide

_DOSE_BOUNDS_BQ = (1e5, 1e11)
"""0.1 MBq to 100 GBq, from a mouse to a therapy. A dose in MBq or mCi is below, a dose of a patient in mBq above."""
_BQ_PER_MBQ = 1e6
_HALF_LIFE_TOLERANCE = 0.02
"""Scanners have half-lives that differ by up to 1 %, such as 6588 s and 6586.2 s for F-18."""
_ZERO_FRACTION = re.compile(r"(?<=^\d{6})\.0+$|(?<=^\d{14})\.0+$")
"""The fraction of a time (TM, DT) in whole seconds: ``090000.00`` is ``090000``."""


def tracer_item(header: Dataset) -> Dataset:
    """Returns the only item of Radiopharmaceutical Information Sequence (0054,0016).

    A merge of headers can repeat an item, or add an empty one; both are ignored.

    Raises:
        SuvError: The sequence is missing or empty, or has items that differ: nothing defines to which dose and
            injection the activity belongs.
    """
    items = [item for item in header.get("RadiopharmaceuticalInformationSequence") or () if _contents(item)]
    if not items:
        raise SuvError("RadiopharmaceuticalInformationSequence (0054,0016) is missing", hint=MISSING_VALUE_HINT)
    first: Dataset = items[0]
    others = [item for item in items[1:] if _contents(item) != _contents(first)]
    if others:
        raise SuvError(
            "RadiopharmaceuticalInformationSequence (0054,0016): expected one radiopharmaceutical, "
            f"got items that differ in {_first_difference(first, others[0])}",
            hint="SUV is undefined after several injections; export the series as SUV (Units GML), or with one item",
        )
    return first


def _contents(item: Dataset) -> dict[BaseTag, object]:
    """Returns the values of an item in a form that can be compared; attributes without a value are omitted."""
    contents = {element.tag: comparable_value(element.value) for element in item}
    return {tag: value for tag, value in contents.items() if value not in ("", (), {})}


def comparable_value(value: object) -> object:
    """Returns numbers as numbers and other values as text: one number or time can be written as different texts."""
    match value:
        case None:
            return ""
        case Dataset():
            return _contents(value)
        case bytes():
            return value.strip(b"\0 ").decode("latin-1")
        case list() | MultiValue() | DicomSequence():
            return tuple(comparable_value(item) for item in value)
        case int() | float():
            return float(value)
        case _:
            return _ZERO_FRACTION.sub("", str(value).strip())


def _first_difference(first: Dataset, other: Dataset) -> str:
    """Returns the keyword and tag of the first attribute with another value in the second item."""
    ours, theirs = _contents(first), _contents(other)
    tag = min(tag for tag in {*ours, *theirs} if ours.get(tag) != theirs.get(tag))
    return f"{keyword_for_tag(tag) or 'a private attribute'} ({tag.group:04X},{tag.element:04X})"


def injected_dose_bq(header: Dataset) -> float:
    """Returns Radionuclide Total Dose (0018,1074) in Bq.

    The dose is in MBq in an Enhanced PET image (PS3.3, C.8.22.4), and in Bq in others (C.8.9.2). Some Enhanced PET
    images have it in Bq: a number that is at least the smallest dose in Bq would be at least 100 GBq in MBq.

    Args:
        header: A PET image.

    Raises:
        SuvError: The dose is missing, or is not one in its unit.
    """
    value = read_positive(tracer_item(header), "RadionuclideTotalDose", "(0018,1074)")
    low, high = _DOSE_BOUNDS_BQ
    is_enhanced = header.get("SOPClassUID") == EnhancedPETImageStorage
    dose_bq = value * _BQ_PER_MBQ if is_enhanced and value < low else value
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
        raise SuvError(f"{keyword} {tag} is missing", hint=MISSING_VALUE_HINT)
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise SuvError(f"{keyword} {tag}: expected a number above 0, got {value}", hint=INVALID_VALUE_HINT) from error
    if not math.isfinite(number) or number <= 0:
        raise SuvError(f"{keyword} {tag}: expected a number above 0, got {value}", hint=INVALID_VALUE_HINT)
    return number
