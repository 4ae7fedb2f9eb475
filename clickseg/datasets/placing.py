"""Truth on the grid of the image that it is of."""

from __future__ import annotations

import logging
from itertools import product

import highdicom as hd
import numpy as np

from clickseg.arrays import Doubles
from clickseg.errors import InputError
from clickseg.itk import to_sitk

logger = logging.getLogger(__name__)

TOLERANCE = 0.05
"""How far the corners of two grids may lie apart that are the same, as a part of the smallest spacing."""


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
    if is_same_grid(truth, image):
        return _with_array(image, truth.array)
    _check_inside(truth, image, name)
    moved = _nearest(truth, image)
    lost = sorted({*np.unique(truth.array).tolist()} - {*np.unique(moved.array).tolist()} - {0})
    if lost:
        raise InputError(f"{name}: nothing is left of class {lost[0]} on the grid of the image: its voxels are larger")
    logger.info("%s: taken onto the grid of the image, by the nearest voxel", name)
    return moved


def is_same_grid(one: hd.VolumeGeometry | hd.Volume, other: hd.VolumeGeometry | hd.Volume) -> bool:
    """Whether the voxels of two grids lie in the same places."""
    if one.spatial_shape != other.spatial_shape:
        return False
    corners = np.array([*product(*((0, count - 1) for count in one.spatial_shape))])
    apart = one.map_indices_to_reference(corners) - other.map_indices_to_reference(corners)
    return bool(np.linalg.norm(apart, axis=1).max() <= TOLERANCE * min(other.spacing))


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


def _with_array(image: hd.VolumeGeometry, array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> hd.Volume:
    return hd.Volume(array, image.affine, "PATIENT", frame_of_reference_uid=image.frame_of_reference_uid)
