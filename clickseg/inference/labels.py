"""Label maps: which classes each voxel belongs to, for classes that exclude each other and for classes that overlap."""

from __future__ import annotations

from dataclasses import dataclass

import highdicom as hd
import numpy as np

from clickseg.arrays import Doubles, Mask, Numbers, Values
from clickseg.inference.resample import interpolate, source_coordinates
from clickseg.models.spec import ModelSpec

_SLAB = 8


@dataclass(frozen=True, slots=True)
class LabelMap:
    """Classes per voxel, on a grid.

    Attributes:
        array: Where classes exclude each other: the class number [K, J, I], 0 for none. Where they overlap: bits
            [K, J, I, bytes], the first class the lowest bit of the first byte.
        overlapping: Which of the two.
        count: How many classes there are; they are numbered from 1.
    """

    array: Numbers
    overlapping: bool
    count: int

    def mask(self, number: int) -> Mask:
        """Returns where a class is."""
        mask: Mask = self.array == number
        if self.overlapping:
            byte, bit = divmod(number - 1, 8)
            mask = (self.array[..., byte] >> bit & 1).astype(bool)
        return mask

    def without(self, number: int, voxels: Mask) -> LabelMap:
        """Returns the label map with a class taken away from some voxels."""
        array = self.array.copy()
        if self.overlapping:
            byte, bit = divmod(number - 1, 8)
            array[voxels, byte] &= np.uint8(~(1 << bit) & 0xFF)
        else:
            array[voxels & (array == number)] = 0
        return LabelMap(array, self.overlapping, self.count)

    def present(self) -> tuple[int, ...]:
        """Returns the numbers of the classes that have a voxel."""
        if not self.overlapping:
            return tuple(int(number) for number in np.unique(self.array) if number)
        union = np.bitwise_or.reduce(self.array.reshape(-1, self.array.shape[-1]), axis=0)
        return tuple(n for n in range(1, self.count + 1) if union[(n - 1) // 8] >> (n - 1) % 8 & 1)


def label_map(logits: Values, model: hd.VolumeGeometry, source: hd.VolumeGeometry, spec: ModelSpec) -> LabelMap:
    """Decides each voxel of the source grid from logits on the model grid.

    Args:
        logits: [K, I, J, K] on the model grid.
        model: The model grid.
        source: The source grid [K, J, I].
        spec: Activation, classes and orientation.

    Returns:
        The label map on the source grid: softmax models give the class of the highest logit (the first of equal ones),
        sigmoid models each class whose logit is above 0. Logits are interpolated slab by slab.
    """
    coordinates = source_coordinates(source, model, spec.grid)
    oriented = source.to_patient_orientation(spec.grid.orientation)
    slabs = [
        _decided(_interpolated(logits, [coordinates[0][start : start + _SLAB], *coordinates[1:]]), spec)
        for start in range(0, len(coordinates[0]), _SLAB)
    ]
    array = np.concatenate(slabs)
    overlapping = spec.activation == "sigmoid"
    return LabelMap(_to_source(array, oriented, source), overlapping, len(spec.classes))


def _interpolated(logits: Values, coordinates: list[Doubles]) -> Values:
    for axis, places in enumerate(coordinates, 1):
        logits = interpolate(logits, axis, places)
    return logits


def _decided(logits: Values, spec: ModelSpec) -> Numbers:
    """Returns class numbers [I, J, K], or bits [I, J, K, bytes], from logits [K, I, J, K]."""
    if spec.activation == "sigmoid":
        positive = np.stack([logits[each.channel] > 0 for each in spec.classes], axis=-1)
        return np.packbits(positive, axis=-1, bitorder="little")
    numbers = np.zeros(len(logits), dtype=np.uint8 if len(spec.classes) < 256 else np.uint16)
    for number, each in enumerate(spec.classes, 1):
        numbers[each.channel] = number
    decided: Numbers = numbers[logits.argmax(axis=0)]
    return decided


def _to_source(array: Numbers, oriented: hd.VolumeGeometry, source: hd.VolumeGeometry) -> Numbers:
    """Brings labels [I, J, K] or bits [I, J, K, bytes] to the source's order of axes."""
    if array.ndim == 4:
        return np.stack([_to_source(array[..., byte], oriented, source) for byte in range(array.shape[3])], axis=-1)
    volume = hd.Volume(
        array=array,
        affine=oriented.affine,
        coordinate_system="PATIENT",
        frame_of_reference_uid=source.frame_of_reference_uid,
    )
    return np.ascontiguousarray(volume.match_geometry(source).array)
