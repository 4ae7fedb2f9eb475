"""Assigns segments of a SEG and regions of interest of an RTSTRUCT to classes, and resamples label maps."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import highdicom as hd
import numpy as np

from clickseg.core.arrays import FloatArray
from clickseg.core.errors import InputError
from clickseg.core.sitk import to_sitk
from clickseg.core.text import escape_unprintable, join_names
from clickseg.models.spec import ClassSpec

logger = logging.getLogger(__name__)

ClassNames: TypeAlias = tuple[tuple[str, ...], ...]
"""The names of each class, from class 1 on; ``*`` matches any text, and case is ignored."""

_GRID_TOLERANCE = 0.05
"""The largest distance between the corners of equal grids, as a fraction of the smallest spacing."""


@dataclass(frozen=True, slots=True)
class NamedRegion:
    """A segment of a SEG, or a region of interest of an RTSTRUCT.

    Attributes:
        number: The number of the region in its file.
        name: The name of the region in its file.
        can_be_lesion: Whether the region can be a lesion, that is, is not an organ, an outline of the body or a margin.
    """

    number: int
    name: str
    can_be_lesion: bool


def resolve_class_names(truth_names: ClassNames, classes: Sequence[ClassSpec]) -> ClassNames:
    """Returns the names of each class in SEG and RTSTRUCT.

    Args:
        truth_names: The names that the user selected; empty for the default.
        classes: The classes of the model. By default, a single class has no names, so that all regions that can be a
            lesion belong to it. Several classes have their own names and aliases.
    """
    if truth_names or len(classes) == 1:
        return truth_names
    return tuple((class_spec.name, *class_spec.aliases) for class_spec in classes)


def assign_classes(regions: Sequence[NamedRegion], class_names: ClassNames, name: str) -> tuple[tuple[int, int], ...]:
    """Returns pairs of region number and class number, sorted by class number; other regions are ignored.

    Without class names, all regions that can be a lesion belong to class 1; so does any region that is the only one.

    Args:
        regions: All regions of a file.
        class_names: The names of each class.
        name: The name of the file, for messages.

    Raises:
        InputError: No region belongs to a class.
    """
    if class_names:
        assigned = [(region.number, _find_class(region.name, class_names)) for region in regions]
    else:
        assigned = [(region.number, int(region.can_be_lesion or len(regions) == 1)) for region in regions]
    selected = tuple(sorted((pair for pair in assigned if pair[1]), key=lambda pair: pair[1]))
    if not selected:
        patterns = join_names([pattern for names in class_names for pattern in names])
        expected = f"a region named {patterns}" if patterns else "a region that can be a lesion"
        available = join_names([escape_unprintable(region.name) for region in regions]) or "none"
        raise InputError(
            f"{name}: expected {expected}, got {available}",
            hint="--truth-names (evaluate) and truth_names (train) define the names of the regions of each class",
        )
    return selected


def resample_labels(truth: hd.Volume, image: hd.VolumeGeometry, name: str) -> hd.Volume:
    """Returns a label map on the grid of an image; on another grid each voxel gets the class of the nearest voxel.

    Args:
        truth: The class numbers, uint8.
        image: The grid of the image.
        name: The name of the label map, for messages.

    Raises:
        InputError: The frames of reference differ, labelled voxels are outside of the image, or a class has no voxels
            on the coarser grid.
    """
    frame_uids = {truth.frame_of_reference_uid, image.frame_of_reference_uid} - {None}
    if len(frame_uids) > 1:
        raise InputError(f"{name}: expected the frame of reference of the image, got another one")
    if _is_same_grid(truth, image):
        return _with_array(image, truth.array)
    _check_inside(truth, image, name)
    resampled = _resample_nearest(truth, image)
    lost_classes = sorted({*np.unique(truth.array).tolist()} - {*np.unique(resampled.array).tolist()} - {0})
    if lost_classes:
        raise InputError(
            f"{name}: class {lost_classes[0]} has no voxels on the grid of the image, whose voxels are larger"
        )
    logger.info("%s: resampled to the grid of the image (nearest neighbour)", name)
    return resampled


def _find_class(name: str, class_names: ClassNames) -> int:
    """Returns the number of the first class with a name; 0 if no class has the name."""
    return next(
        (number for number, names in enumerate(class_names, 1) if any(_matches(name, pattern) for pattern in names)),
        0,
    )


def _matches(name: str, pattern: str) -> bool:
    expression = ".*".join(re.escape(part) for part in pattern.strip().split("*"))
    return re.fullmatch(expression, name.strip(), re.IGNORECASE | re.DOTALL) is not None


def _is_same_grid(grid: hd.VolumeGeometry | hd.Volume, reference: hd.VolumeGeometry | hd.Volume) -> bool:
    """Whether the voxels of two grids have the same positions."""
    if grid.spatial_shape != reference.spatial_shape:
        return False
    corners = np.array([*product(*((0, count - 1) for count in grid.spatial_shape))])
    offsets = grid.map_indices_to_reference(corners) - reference.map_indices_to_reference(corners)
    return bool(np.linalg.norm(offsets, axis=1).max() <= _GRID_TOLERANCE * min(reference.spacing))


def _with_array(image: hd.VolumeGeometry, array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> hd.Volume:
    return hd.Volume(array, image.affine, "PATIENT", frame_of_reference_uid=image.frame_of_reference_uid)


def _check_inside(truth: hd.Volume, image: hd.VolumeGeometry, name: str) -> None:
    """Rejects labelled voxels that are more than one voxel outside of the image: no prediction exists there."""
    labelled = np.argwhere(truth.array)
    indices: FloatArray = image.map_reference_to_indices(truth.map_indices_to_reference(labelled))
    outside = (indices < -1) | (indices > image.spatial_shape)
    count = int(outside.any(axis=1).sum())
    if count:
        raise InputError(f"{name}: {count} of {len(labelled)} labelled voxels are outside of the image")


def _resample_nearest(truth: hd.Volume, image: hd.VolumeGeometry) -> hd.Volume:
    import SimpleITK

    resampled = SimpleITK.Resample(
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
    return _with_array(image, SimpleITK.GetArrayFromImage(resampled))
