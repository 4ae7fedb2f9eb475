"""Finds volumes whose slices have a Series Instance UID each, so that each slice is a series of its own.

Some exports and de-identifications create new UIDs for every file. The images of such a volume have no common series
to which a result could refer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from clickseg.core.arrays import FloatArray
from clickseg.core.errors import SeriesError
from clickseg.dicom.codes import SINGLE_FRAME_SOP_CLASSES
from clickseg.dicom.part10 import READ_ERRORS, Instance
from clickseg.dicom.patient import comparable_id

_MIN_IMAGES = 3
"""The number of images from which they are treated as slices of a volume."""

_MIN_DISTANCE_MM = 0.01


def find_split_series(single_images: Iterable[Instance]) -> dict[str, SeriesError]:
    """Finds images that are slices of one volume although each is the only image of its series.

    Args:
        single_images: The images that are the only ones of their series.

    Returns:
        By file name, the error of an image that is such a slice.
    """
    groups: dict[Hashable, list[Instance]] = defaultdict(list)
    for instance in single_images:
        key = _volume_key(instance)
        if key is not None:
            groups[key].append(instance)
    return {instance.name: _make_error(group) for group in groups.values() if _are_slices(group) for instance in group}


def _volume_key(instance: Instance) -> Hashable:
    """Returns the values that the slices of a volume share; None if an image cannot be a slice."""
    if instance.text("SOPClassUID") not in SINGLE_FRAME_SOP_CLASSES or "LOCALIZER" in instance.text("ImageType"):
        return None
    try:
        orientation = np.array(instance.header.get("ImageOrientationPatient"), dtype=np.float64)
        values = [str(instance.header.get(keyword)) for keyword in ("SeriesNumber", "Rows", "Columns", "PixelSpacing")]
    except READ_ERRORS:
        return None
    texts = [instance.text(keyword) for keyword in ("Modality", "SeriesDescription")]
    patient = comparable_id(instance.text("PatientID"))
    is_valid = orientation.shape == (6,) and np.isfinite(orientation).all()
    return (patient, *texts, *values, *np.round(orientation, 3)) if is_valid else None


def _are_slices(instances: Sequence[Instance]) -> bool:
    """Whether images with one orientation are at different positions along their normal."""
    if len(instances) < _MIN_IMAGES:
        return False
    try:
        positions = np.array([instance.header.get("ImagePositionPatient") for instance in instances], dtype=np.float64)
        orientation = np.array(instances[0].header.get("ImageOrientationPatient"), dtype=np.float64)
    except READ_ERRORS:
        return False
    if positions.shape != (len(instances), 3):
        return False
    offsets: FloatArray = np.sort(positions @ np.cross(orientation[:3], orientation[3:]))
    return bool(np.diff(offsets).min() > _MIN_DISTANCE_MM)


def _make_error(instances: Sequence[Instance]) -> SeriesError:
    return SeriesError(
        f"SeriesInstanceUID (0020,000E): {len(instances)} images that could be the slices of one volume, such as "
        f"{instances[0].name} and {instances[1].name}, have {len(instances)} different values",
        hint="the export or the de-identification created a UID for each image: repeat it with one Series Instance UID "
        "for all images of a series",
    )
