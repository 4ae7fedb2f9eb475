"""From logits on the model grid to a label map on the source grid."""

from __future__ import annotations

import highdicom as hd
import numpy as np

from clickseg.arrays import Doubles, Numbers, Values
from clickseg.inference.orientation import turn_to
from clickseg.inference.resample import interpolate, source_coordinates
from clickseg.label_map import LabelMap
from clickseg.models.spec import ModelSpec

_SLAB = 8


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
    slabs = [
        _decided(_interpolated(logits, [coordinates[0][start : start + _SLAB], *coordinates[1:]]), spec)
        for start in range(0, len(coordinates[0]), _SLAB)
    ]
    array = turn_to(source, spec.grid.orientation).undo(np.concatenate(slabs))
    return LabelMap(array, spec.activation == "sigmoid", len(spec.classes))


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
