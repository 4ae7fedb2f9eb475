"""Scale factors of a Philips PET in counts, and why they cannot be read.

The factors are private attributes. They are valid only together with the attribute that reserves their block, the
private creator (PS3.5, 7.8.1), which some de-identification tools remove although they keep the factors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydicom import Dataset
from pydicom.tag import Tag

from clickseg.core.errors import SuvError
from clickseg.dicom.conversion import READ_ERRORS

SUV_FACTOR, ACTIVITY_FACTOR = 0x00, 0x09
"""The elements of the factors in their private block."""

_GROUP = 0x7053
_CREATOR = "Philips PET Private Group"
_FIRST_BLOCK = 0x10
"""Private creators are the elements (gggg,0010) to (gggg,00FF)."""

_NAMES = {
    SUV_FACTOR: "Philips SUV Scale Factor (7053,1000)",
    ACTIVITY_FACTOR: "Activity Concentration Scale Factor (7053,1009)",
}


def read_philips_factor(header: Dataset, element: int) -> float | None:
    """Returns a factor of an image; None if it is not a number above 0, or has no private creator."""
    try:
        value = header.private_block(_GROUP, _CREATOR)[element].value
        number = float(value.decode("ascii").strip("\0 ") if isinstance(value, bytes) else value)
    except READ_ERRORS:
        return None
    return number if math.isfinite(number) and number > 0 else None


def missing_factor_error(headers: Sequence[Dataset]) -> SuvError:
    """Returns the error for a PET in counts of which neither factor can be read in all images."""
    prefix = "Units (0054,1001) are CNTS, but"
    for element, name in _NAMES.items():
        block = _block_without_creator(headers, element)
        if block is not None:
            creator = f"({_GROUP:04X},{block:04X})"
            return SuvError(
                f"{prefix} {name} has no private creator {creator}, so its meaning is undefined",
                hint=f"restore {creator} as {_CREATOR!r} (a de-identification must keep private creators), "
                "or export the series in BQML",
            )
    for element, name in _NAMES.items():
        count = sum(read_philips_factor(header, element) is not None for header in headers)
        if count:
            return SuvError(
                f"{prefix} {name} is a number above 0 in only {count} of {len(headers)} images",
                hint="send the other images again, or export the series in BQML",
            )
    return SuvError(
        f"{prefix} neither {' nor '.join(_NAMES.values())} is present in every image",
        hint="keep the private group 7053 in the de-identification, or export the series in BQML",
    )


def _block_without_creator(headers: Sequence[Dataset], element: int) -> int | None:
    """Returns the number of the block of a factor whose private creator is missing in an image; None if none is."""
    for header in headers:
        for tag in header.keys():  # noqa: SIM118 - iteration over a data set yields elements
            block = tag.element >> 8
            is_factor = tag.group == _GROUP and block >= _FIRST_BLOCK and tag.element & 0xFF == element
            creator = header.get(Tag(_GROUP, block)) if is_factor else None
            if is_factor and (creator is None or not creator.value):
                return block
    return None
