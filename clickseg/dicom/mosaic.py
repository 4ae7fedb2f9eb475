"""Siemens mosaics: single-frame images that contain all slices of a volume as tiles."""

from __future__ import annotations

import re
from collections.abc import Sequence

from clickseg.core.errors import SeriesError
from clickseg.core.text import format_count
from clickseg.dicom.codes import SINGLE_FRAME_SOP_CLASSES
from clickseg.dicom.conversion import READ_ERRORS
from clickseg.dicom.part10 import Instance

_MOSAIC = re.compile("(?<![A-Z])MOSAIC(?![A-Z])", re.IGNORECASE)
"""The word in Image Type (0008,0008) with which Siemens marks a mosaic."""

_SIEMENS_GROUP = 0x0019
_SIEMENS_CREATOR = "SIEMENS MR HEADER"
_IMAGE_COUNT = 0x0A
"""Number of Images in Mosaic (0019,xx0A) in the private block of Siemens: it remains if Image Type was replaced."""


def check_no_mosaics(instances: Sequence[Instance]) -> None:
    """Rejects mosaics: a plane of a mosaic is a whole volume, so that stacked mosaics are not a volume.

    Multi-frame images keep the word MOSAIC in Image Type after their tiles were converted to frames; they are accepted.

    Raises:
        SeriesError: An image is a mosaic; the message names files.
    """
    reasons = {instance.name: _mosaic_reason(instance) for instance in instances}
    mosaics = [name for name, reason in reasons.items() if reason]
    if mosaics:
        raise SeriesError(
            f"the series contains {format_count(len(mosaics), 'Siemens mosaic')} (all slices of a volume as tiles of "
            f"one image): {reasons[mosaics[0]]} in {', '.join(mosaics[:3])}",
            hint="export the series without mosaics, as single slices or as Enhanced multi-frame images",
        )


def _mosaic_reason(instance: Instance) -> str:
    """Returns the attribute that shows that an image is a mosaic; empty if it is not one."""
    if instance.text("SOPClassUID") not in SINGLE_FRAME_SOP_CLASSES:
        return ""
    if _MOSAIC.search(instance.text("ImageType")):
        return "ImageType (0008,0008) contains MOSAIC"
    return "Number of Images in Mosaic (0019,xx0A) is above 1" if _has_several_tiles(instance) else ""


def _has_several_tiles(instance: Instance) -> bool:
    """Whether Siemens numbered the tiles of an image, and the image is larger than one acquired slice.

    A converter can keep the number in the slices that it makes of a mosaic; these have the size of a slice.
    """
    if instance.text("Modality") != "MR":
        return False
    try:
        count = instance.header.private_block(_SIEMENS_GROUP, _SIEMENS_CREATOR)[_IMAGE_COUNT].value
        sizes = [int(size) for size in instance.header.get("AcquisitionMatrix") or ()]
        return int(count) > 1 and int(instance.header.Rows) >= 2 * max(sizes, default=0)
    except READ_ERRORS:  # the private block is missing, or its values are invalid
        return False
