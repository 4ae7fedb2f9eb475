"""Which segments of a SEG or regions of interest of an RTSTRUCT are which class, and truth on the grid of its image."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import highdicom as hd
import numpy as np

from clickseg.core.arrays import Doubles
from clickseg.core.errors import InputError
from clickseg.core.sitk import to_sitk
from clickseg.core.text import first_names, printable
from clickseg.models.spec import ClassSpec

logger = logging.getLogger(__name__)

Classes: TypeAlias = tuple[tuple[str, ...], ...]
"""The names that each class has, from class 1 on; ``*`` stands for any text, and case does not count."""

_TOLERANCE = 0.05
"""How far the corners of two grids may lie apart that are the same, as a part of the smallest spacing."""


@dataclass(frozen=True, slots=True)
class Region:
    """A segment, or a region of interest.

    Attributes:
        number: Its number in its file.
        name: What its file calls it.
        is_target: Whether it may be what is looked for: no organ, no outline of the body, no margin.
    """

    number: int
    name: str
    is_target: bool


def names_of(truth: Classes, classes: Sequence[ClassSpec]) -> Classes:
    """Returns the names of each class of a model: for one class all that may be meant, unless it is said."""
    if truth or len(classes) == 1:
        return truth
    return tuple((each.name, *each.aliases) for each in classes)


def class_of_each(regions: Sequence[Region], classes: Classes, where: str) -> tuple[tuple[int, int], ...]:
    """Returns the numbers of regions with their classes, in the order of the classes; others are left out.

    Without names of classes the only region is class 1, and of several all that may be what is looked for.

    Args:
        regions: All regions of a file.
        classes: The names that each class has.
        where: The file, for messages.

    Raises:
        InputError: No region is left.
    """
    if classes:
        found = [(region.number, _class_of(region.name, classes)) for region in regions]
    else:
        found = [(region.number, int(region.is_target or len(regions) == 1)) for region in regions]
    chosen = tuple(sorted((pair for pair in found if pair[1]), key=lambda pair: pair[1]))
    if not chosen:
        wanted = first_names([name for names in classes for name in names]) or "a lesion"
        names = first_names([printable(region.name) for region in regions]) or "none"
        raise InputError(f"{where}: expected {wanted}, got {names}", hint="name the regions of each class")
    return chosen


def on_grid(truth: hd.Volume, image: hd.VolumeGeometry, name: str) -> hd.Volume:
    """Returns a label map on the grid of an image: as it is, or else the class of the nearest voxel.

    Args:
        truth: The class numbers, uint8.
        image: The grid.
        name: What the truth is called in messages.

    Raises:
        InputError: They are in different frames of reference, labelled voxels lie outside of the image, or a class has
            no voxel left on the coarser grid.
    """
    frames = {truth.frame_of_reference_uid, image.frame_of_reference_uid} - {None}
    if len(frames) > 1:
        raise InputError(f"{name}: expected the frame of reference of the image, got another one")
    if _is_same_grid(truth, image):
        return _with_array(image, truth.array)
    _check_inside(truth, image, name)
    moved = _nearest(truth, image)
    lost = sorted({*np.unique(truth.array).tolist()} - {*np.unique(moved.array).tolist()} - {0})
    if lost:
        raise InputError(f"{name}: nothing is left of class {lost[0]} on the grid of the image: its voxels are larger")
    logger.info("%s: taken onto the grid of the image, by the nearest voxel", name)
    return moved


def _class_of(name: str, classes: Classes) -> int:
    """Returns the first class that has a name; 0 where none has it."""
    return next((n for n, names in enumerate(classes, 1) if any(_fits(name, form) for form in names)), 0)


def _fits(name: str, form: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in form.strip().split("*"))
    return re.fullmatch(pattern, name.strip(), re.IGNORECASE | re.DOTALL) is not None


def _is_same_grid(one: hd.VolumeGeometry | hd.Volume, other: hd.VolumeGeometry | hd.Volume) -> bool:
    """Whether the voxels of two grids lie in the same places."""
    if one.spatial_shape != other.spatial_shape:
        return False
    corners = np.array([*product(*((0, count - 1) for count in one.spatial_shape))])
    apart = one.map_indices_to_reference(corners) - other.map_indices_to_reference(corners)
    return bool(np.linalg.norm(apart, axis=1).max() <= _TOLERANCE * min(other.spacing))


def _with_array(image: hd.VolumeGeometry, array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> hd.Volume:
    return hd.Volume(array, image.affine, "PATIENT", frame_of_reference_uid=image.frame_of_reference_uid)


def _check_inside(truth: hd.Volume, image: hd.VolumeGeometry, name: str) -> None:
    """Refuses labelled voxels more than one voxel beyond the image: nobody could find them there."""
    labelled = np.argwhere(truth.array)
    places: Doubles = image.map_reference_to_indices(truth.map_indices_to_reference(labelled))
    outside = (places < -1) | (places > image.spatial_shape)
    count = int(outside.any(axis=1).sum())
    if count:
        raise InputError(f"{name}: {count} of {len(labelled)} labelled voxels lie outside of the image")


def _nearest(truth: hd.Volume, image: hd.VolumeGeometry) -> hd.Volume:
    import SimpleITK

    moved = SimpleITK.Resample(
        to_sitk(truth),
        image.spatial_shape[::-1],
        SimpleITK.Transform(),
        SimpleITK.sitkNearestNeighbor,
        image.position,
        image.spacing[::-1],
        image.direction[:, ::-1].ravel().tolist(),
        0,
        SimpleITK.sitkUInt8,
    )
    return _with_array(image, SimpleITK.GetArrayFromImage(moved))
