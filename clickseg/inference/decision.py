"""From blended logits on the model grid to a label map on the source grid, plane by plane."""

from __future__ import annotations

import math

import highdicom as hd
import numpy as np

from clickseg.core.arrays import Box, Numbers, Values, whole
from clickseg.core.device import HOST, Device
from clickseg.core.label_map import LabelMap
from clickseg.inference.kernels import Kernels
from clickseg.inference.orientation import turn_to
from clickseg.inference.resample import Neighbours, LinearWeights, source_coordinates
from clickseg.inference.stitching import FLOAT_BYTES, PlaneBlock
from clickseg.models.spec import ModelSpec

_MAX_PLANES_AT_ONCE = 16
"""How many planes of the source grid are decided at once, where it is much finer than the model grid."""

_BINARY_CHANNELS = 2
"""Channels of a model of one class and the background."""


def label_logits(logits: Values, spec: ModelSpec) -> Values:
    """Returns what of a window's logits [K, I, J, K] decides: of two that exclude each other their difference."""
    if _is_binary(spec):
        return logits[1:] - logits[:1]
    if spec.activation == "sigmoid":
        channels = [each.channel for each in spec.classes]
        return logits if channels == list(range(len(logits))) else logits[channels]
    return logits


def deciding_channels(spec: ModelSpec) -> int:
    """Returns how many channels ``deciding`` gives."""
    if _is_binary(spec):
        return 1
    return len(spec.classes) if spec.activation == "sigmoid" else spec.output_channels


class Decision:
    """The label map of a source grid, decided as the planes of the model grid come.

    Softmax models give the class of the highest logit (the first of equal ones), sigmoid models each class whose logit
    is above 0. Logits are interpolated linearly: across the planes, then along rows, then along columns.
    """

    def __init__(
        self,
        model: hd.VolumeGeometry,
        source: hd.VolumeGeometry,
        spec: ModelSpec,
        axis: int,
        kernels: Kernels,
        device: Device = HOST,
    ) -> None:
        """Allocates the label map.

        Args:
            model: The model grid.
            source: The source grid [K, J, I].
            spec: Activation, classes and orientation.
            axis: The axis of the model grid that the planes are across.
            kernels: The loops over voxels.
            device: Where the logits are; the label map is on the host.
        """
        coordinates = source_coordinates(source, model, spec.grid)
        self._taps = [LinearWeights.at_coordinates(places, count) for places, count in zip(coordinates, model.spatial_shape, strict=True)]
        self._axis, self._spec, self._kernels, self._device = axis, spec, kernels, device
        self._numbers = device.put(_class_numbers(spec))
        self._array = _empty_labels(source, spec)
        self._turn = turn_to(source, spec.grid.orientation)
        everything = whole(model.spatial_shape)
        self.begin(everything, everything)

    @property
    def bytes_needed(self) -> int:
        """How much memory the decision of some planes takes; that of the label map is taken already."""
        count, *plane = self._view.shape
        return int(min(_MAX_PLANES_AT_ONCE, count) * math.prod(plane) * (FLOAT_BYTES + self._array.itemsize))

    def begin(self, box: Box, changed: Box) -> Box:
        """Makes ready to decide a part of the source grid, to the same bytes as with all of it.

        Args:
            box: The part of the model grid whose planes will be taken; ``changed`` and the voxels beside it.
            changed: The part whose logits are others than before.

        Returns:
            The part of the source grid [K, J, I] that is decided anew.
        """
        parts = [each.range_touching(part) for each, part in zip(self._taps, changed, strict=True)]
        taps = [each.select(part, of.start) for each, part, of in zip(self._taps, parts, box, strict=True)]
        self._view = np.moveaxis(self._turn.view(self._array)[tuple(parts)], self._axis, 0)
        self._across = taps.pop(self._axis)
        self._rows, self._columns = (each.to_device(self._device) for each in taps)
        self._done = 0
        return self._turn.source_box((parts[0], parts[1], parts[2]), self._array.shape)

    def take(self, planes: PlaneBlock) -> None:
        """Decides the voxels between some planes, the next ones."""
        last = planes.first + len(planes.values) - 1
        stop = int(np.searchsorted(self._across.upper, last, side="right"))
        while self._done < stop:
            box = slice(self._done, min(self._done + _MAX_PLANES_AT_ONCE, stop))
            between = Neighbours(self._across.select(box, planes.first), self._rows, self._columns)
            self._view[box] = self._device.get(self._assign_labels(planes.values, between, self._view[box].shape))
            self._done = box.stop

    def label_map(self) -> LabelMap:
        """Returns the label map, when all planes were taken."""
        return LabelMap(self._array, self._spec.activation == "sigmoid", len(self._spec.classes))

    def _assign_labels(self, values: Values, between: Neighbours, shape: tuple[int, ...]) -> Numbers:
        decided: Numbers = self._device.zeros(shape, self._array.dtype)
        if self._spec.activation == "sigmoid" or _is_binary(self._spec):
            bits = decided[..., np.newaxis] if _is_binary(self._spec) else decided  # number 1 is bit 0
            self._kernels.threshold(bits, values, between, 0)
        else:
            best = self._device.zeros(shape, np.float32)
            best.fill(-np.inf)
            self._kernels.argmax(best, decided, values, between, self._numbers)
        return decided


def _is_binary(spec: ModelSpec) -> bool:
    return spec.activation == "softmax" and spec.output_channels == _BINARY_CHANNELS


def _class_numbers(spec: ModelSpec) -> Numbers:
    """Returns the class number of each channel; 0 for those that are of no class."""
    numbers: Numbers = np.zeros(spec.output_channels, dtype=np.uint8 if len(spec.classes) < 256 else np.uint16)
    for number, each in enumerate(spec.classes, 1):
        numbers[each.channel] = number
    return numbers


def _empty_labels(source: hd.VolumeGeometry, spec: ModelSpec) -> Numbers:
    """Returns a label map without any class, whose memory is taken and not just promised: what is left is known."""
    if spec.activation == "sigmoid":
        return np.full((*source.spatial_shape, (len(spec.classes) + 7) // 8), 0, np.uint8)
    return np.full(source.spatial_shape, 0, _class_numbers(spec).dtype)
