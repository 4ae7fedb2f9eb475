"""Finds volumes whose slices have a Series Instance UID each, so that each slice is a series of its own.

Some exports and de-identifications create new UIDs for every file. The images of such a volume have no common series
to which a result could refer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np

from clickseg.core.arrays import FloatArray
from clickseg.core.errors import SeriesError
from clickseg.dicom.codes import SINGLE_FRAME_SOP_CLASSES
from clickseg.dicom.conversion import READ_ERRORS
from clickseg.dicom.part10 import Instance
from clickseg.dicom.patient import comparable_id

_MIN_IMAGES = 3
"""The number of images from which they are treated as slices of a volume."""

_MIN_DISTANCE_MM = 0.01
_SAME_STEP = 0.1
_EQUAL_STEPS = 0.8
"""The smallest fraction of equal steps, if also the Series Number differs: some slices can be missing."""

_VolumeKey = tuple[Hashable, ...]
"""The values that the slices of a volume share."""


def find_split_series(single_images: Iterable[Instance]) -> dict[str, SeriesError]:
    """Finds images that are slices of one volume although each is the only image of its series.

    Args:
        single_images: The images that are the only ones of their series.

    Returns:
        By file name, the error of an image that is such a slice.
    """
    instances = list(single_images)
    keys = {instance.name: _volume_key(instance) for instance in instances}
    groups = [group for group in _group(instances, keys) if _are_slices(group)]
    found = {instance.name for group in groups for instance in group}
    # An export that makes a series of each image can also number these series.
    unnumbered = {name: key[:-1] for name, key in keys.items() if key is not None and name not in found}
    groups += [group for group in _group(instances, unnumbered) if _are_slices(group) and _have_equal_steps(group)]
    return {instance.name: _make_error(group) for group in groups for instance in group}


def _group(instances: Sequence[Instance], keys: Mapping[str, _VolumeKey | None]) -> list[list[Instance]]:
    """Groups instances by their key; those without a key are in no group."""
    groups: dict[_VolumeKey, list[Instance]] = defaultdict(list)
    for instance in instances:
        key = keys.get(instance.name)
        if key is not None:
            groups[key].append(instance)
    return list(groups.values())


def _volume_key(instance: Instance) -> _VolumeKey | None:
    """Returns the values that the slices of a volume share, last Series Number; None if an image cannot be a slice."""
    if instance.text("SOPClassUID") not in SINGLE_FRAME_SOP_CLASSES or "LOCALIZER" in instance.text("ImageType"):
        return None
    try:
        orientation = np.array(instance.header.get("ImageOrientationPatient"), dtype=np.float64)
        values = [str(instance.header.get(keyword)) for keyword in ("Rows", "Columns", "PixelSpacing")]
        series_number = str(instance.header.get("SeriesNumber"))
    except READ_ERRORS:
        return None
    texts = [instance.text(keyword) for keyword in ("Modality", "SeriesDescription")]
    patient = comparable_id(instance.text("PatientID"))
    is_valid = orientation.shape == (6,) and np.isfinite(orientation).all()
    return (patient, *texts, *values, *np.round(orientation, 3), series_number) if is_valid else None


def _are_slices(instances: Sequence[Instance]) -> bool:
    """Whether images with one orientation are at different positions along their normal."""
    return len(instances) >= _MIN_IMAGES and bool(_steps_mm(instances).min(initial=np.inf) > _MIN_DISTANCE_MM)


def _have_equal_steps(instances: Sequence[Instance]) -> bool:
    """Whether most steps between images are equal along their normal."""
    steps = _steps_mm(instances)
    return bool(np.mean(np.abs(steps - np.median(steps)) <= _SAME_STEP * np.median(steps)) >= _EQUAL_STEPS)


def _steps_mm(instances: Sequence[Instance]) -> FloatArray:
    """Returns the distances between consecutive images along their normal; 0 if a position is missing or invalid."""
    try:
        positions = np.array([instance.header.get("ImagePositionPatient") for instance in instances], dtype=np.float64)
        orientation = np.array(instances[0].header.get("ImageOrientationPatient"), dtype=np.float64)
    except READ_ERRORS:
        return np.zeros(1)
    if positions.shape != (len(instances), 3):
        return np.zeros(1)
    return np.diff(np.sort(positions @ np.cross(orientation[:3], orientation[3:])))


def _make_error(instances: Sequence[Instance]) -> SeriesError:
    return SeriesError(
        f"SeriesInstanceUID (0020,000E): {len(instances)} images that could be the slices of one volume, such as "
        f"{instances[0].name} and {instances[1].name}, have {len(instances)} different values",
        hint="the export or the de-identification created a UID for each image: repeat it with one Series Instance UID "
        "for all images of a series",
    )
