"""Siemens mosaics: single-frame images that contain all slices of a volume as tiles."""

from __future__ import annotations

import re
from collections.abc import Sequence

from clickseg.core.errors import SeriesError
from clickseg.core.text import format_count
from clickseg.dicom.codes import SINGLE_FRAME_SOP_CLASSES
from clickseg.dicom.part10 import Instance

_MOSAIC = re.compile(r"\bMOSAIC\b", re.IGNORECASE)
"""The value of Image Type (0008,0008) with which Siemens marks a mosaic."""


def check_no_mosaics(instances: Sequence[Instance]) -> None:
    """Rejects mosaics: a plane of a mosaic is a whole volume, so that stacked mosaics are not a volume.

    Multi-frame images keep the word MOSAIC in Image Type after their tiles were converted to frames; they are accepted.

    Raises:
        SeriesError: An image is a mosaic; the message names files.
    """
    mosaics = [instance.name for instance in instances if _is_mosaic(instance)]
    if mosaics:
        raise SeriesError(
            f"the series contains {format_count(len(mosaics), 'Siemens mosaic')} (all slices of a volume as tiles of "
            f"one image): ImageType (0008,0008) contains MOSAIC in {', '.join(mosaics[:3])}",
            hint="export the series without mosaics, as single slices or as Enhanced multi-frame images",
        )


def _is_mosaic(instance: Instance) -> bool:
    return (
        instance.text("SOPClassUID") in SINGLE_FRAME_SOP_CLASSES
        and _MOSAIC.search(instance.text("ImageType")) is not None
    )
