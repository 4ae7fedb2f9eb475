"""From blended logits on the model grid to a label map on the source grid, plane by plane."""

from __future__ import annotations

import math

import highdicom as hd
import numpy as np

from clickseg.core.arrays import Box, Float32Array, LabelArray, full_box, to_global_box
from clickseg.core.device import HOST, Device
from clickseg.core.label_map import LabelMap
from clickseg.core.memory import Memory
from clickseg.inference.kernels import Kernels
from clickseg.inference.linear import TrilinearWeights
from clickseg.inference.model_grid import ModelGrid
from clickseg.inference.orientation import reorientation_to
from clickseg.inference.stitching import FLOAT_BYTES, MAX_BLOCK_PLANES, PlaneBlock
from clickseg.models.spec import ModelSpec

_MAX_PLANES_AT_ONCE = 16
"""The number of source planes that are labelled at once; limits memory if they are much thinner than model planes."""

_BINARY_CHANNELS = 2
"""Output channels of a softmax model with one class and background."""


def label_logits(logits: Float32Array, spec: ModelSpec) -> Float32Array:
    """Returns the label logits of a window [L, I, J, K]: the channels that argmax or threshold need.

    For a softmax model with two channels this is their difference, with threshold 0; for a sigmoid model these are the
    channels of its classes; for other softmax models all channels.

    Args:
        logits: The output of the network for the window [C, I, J, K].
        spec: Activation and classes.
    """
    if _is_binary(spec):
        return logits[1:] - logits[:1]
    if spec.activation == "sigmoid":
        channels = [class_spec.channel for class_spec in spec.classes]
        return logits if channels == list(range(len(logits))) else logits[channels]
    return logits


def label_logit_channels(spec: ModelSpec) -> int:
    """Returns the number L of channels that ``label_logits`` returns."""
    if _is_binary(spec):
        return 1
    return len(spec.classes) if spec.activation == "sigmoid" else spec.output_channels


class LabelAssigner:
    """Assigns a label to each voxel of the source grid, while the planes of the model grid are computed.

    A softmax model gives each voxel the class of the highest logit (argmax; ties: the first channel), of several heads
    the class of the last that is not background; a sigmoid model each class whose logit is above 0, or with
    ``overwrite`` only the last of these classes. Logits are interpolated linearly: across the planes, then along rows,
    then along columns; instead, the model may interpolate probabilities, or take the label of the nearest voxel.
    """

    def __init__(
        self,
        grid: ModelGrid,
        spec: ModelSpec,
        axis: int,
        kernels: Kernels,
        device: Device = HOST,
    ) -> None:
        """Allocates the label map.

        Args:
            grid: The model grid, and the source grid that is labelled; voxels that it does not cover are background.
            spec: Activation, classes and orientation.
            axis: The axis of the model grid perpendicular to the planes.
            kernels: The loops over voxels.
            device: Where the logits are; the label map is on the host.
        """
        self._sampling, self._source_box = grid.sample(spec), grid.source_box
        self._axis, self._spec, self._kernels, self._device = axis, spec, kernels, device
        self._model_plane = [count for other, count in enumerate(grid.geometry.spatial_shape) if other != axis]
        self._class_numbers = device.put(_class_numbers(spec))
        self._array = _empty_labels(grid.source, spec)
        self._reorientation = reorientation_to(grid.source, spec.grid.orientation)
        everything = full_box(grid.geometry.spatial_shape)
        self.begin_update(everything, everything)

    @property
    def bytes_needed(self) -> int:
        """The memory that labelling some planes needs, without the label map, which is allocated already.

        Of several heads, the channels of one are copied, and its labels are separate until they replace others.
        """
        count, *plane = self._view.shape
        voxels = min(_MAX_PLANES_AT_ONCE, count) * math.prod(plane)
        needed = voxels * (FLOAT_BYTES + self._array.itemsize)
        if self._spec.heads:
            copied = max(self._spec.heads) * (1 + MAX_BLOCK_PLANES) * math.prod(self._model_plane) * FLOAT_BYTES
            needed += copied + voxels * (self._array.itemsize + np.dtype(bool).itemsize)
        return int(needed)

    def begin_update(self, box: Box, changed: Box) -> Box:
        """Selects the part of the source grid that the next calls of ``update`` label.

        The labels have the same bytes as after labelling the entire grid.

        Args:
            box: The part of the model grid whose planes will be passed: ``changed`` and the voxels next to it.
            changed: The part of the model grid whose logits changed.

        Returns:
            The part of the source grid [K, J, I] that is labelled again.
        """
        axis_weights, part = self._sampling.weights, self._array[self._source_box]
        i, j, k = (weights.range_touching(axis_part) for weights, axis_part in zip(axis_weights, changed, strict=True))
        ranges: Box = (i, j, k)
        selected = [
            weights.select(axis_range, model_part.start)
            for weights, axis_range, model_part in zip(axis_weights, ranges, box, strict=True)
        ]
        labelled = to_global_box(ranges, self._sampling.ranges)
        self._view = np.moveaxis(self._reorientation.view(part)[labelled], self._axis, 0)
        self._across = selected.pop(self._axis)
        self._rows, self._columns = (weights.to_device(self._device) for weights in selected)
        self._done = 0
        return to_global_box(self._reorientation.source_box(labelled, part.shape), self._source_box)

    def update(self, planes: PlaneBlock) -> None:
        """Labels the source voxels between the next planes of the model grid."""
        if not self._view.size:  # a thin box of a crop can be between two source planes
            return
        last = planes.first + len(planes.values) - 1
        stop = int(np.searchsorted(self._across.upper, last, side="right"))
        values = planes.values if self._spec.interpolation != "probabilities" else _to_scores(planes.values, self._spec)
        while self._done < stop:
            block = slice(self._done, min(self._done + _MAX_PLANES_AT_ONCE, stop))
            across = self._across.select(block, planes.first).to_device(self._device)
            interpolation = TrilinearWeights(across, self._rows, self._columns)
            labels = self._assign_labels(values, interpolation, self._view[block].shape)
            self._view[block] = self._device.get(labels)
            self._done = block.stop

    def label_map(self) -> LabelMap:
        """Returns the label map; complete after all planes were passed to ``update``."""
        return LabelMap(self._array, self._spec.has_overlapping_classes, len(self._spec.classes))

    def _assign_labels(
        self, logits: Float32Array, interpolation: TrilinearWeights, shape: tuple[int, ...]
    ) -> LabelArray:
        labels: LabelArray = self._device.zeros(shape, self._array.dtype)
        if self._spec.overwrite:
            self._kernels.overwrite(labels, logits, interpolation, self._class_numbers)
        elif self._spec.activation == "sigmoid" or _is_binary(self._spec):
            bits = labels[..., np.newaxis] if _is_binary(self._spec) else labels  # class number 1 is bit 0
            self._kernels.threshold(bits, logits, interpolation, 0)
        else:
            for head in self._spec.head_channels:
                self._assign_head(labels, logits, interpolation, head)
        return labels

    def _assign_head(
        self, labels: LabelArray, logits: Float32Array, interpolation: TrilinearWeights, head: slice
    ) -> None:
        """Assigns the classes of one softmax output, over those of the outputs before."""
        highest = self._device.zeros(labels.shape, np.float32)
        highest.fill(-np.inf)
        of_head = self._device.zeros(labels.shape, labels.dtype) if head.start else labels
        channels = logits[:, head].copy() if self._spec.heads else logits
        self._kernels.argmax(highest, of_head, channels, interpolation, self._class_numbers[head])
        if of_head is not labels:
            is_class = of_head > 0
            labels[is_class] = of_head[is_class]


def make_assigners(
    grid: ModelGrid, spec: ModelSpec, axis: int, kernels: Kernels, device: Device, memory: Memory
) -> tuple[LabelAssigner, ...]:
    """Returns the assigner of the source grid, followed by that of the model grid if the model needs labels on it.

    A model needs them as its previous mask, or if its postprocessing removes components on the model grid.

    Raises:
        MemoryLimitError: The labels on the model grid do not fit into memory.
    """
    if not spec.previous_mask and spec.postprocessing.grid == "source":
        return (LabelAssigner(grid, spec, axis, kernels, device),)
    shape = grid.geometry.spatial_shape
    purpose = f"labels on the model grid of {' x '.join(str(count) for count in shape)} voxels"
    memory.check_available(math.prod(shape), purpose)
    grids = (grid, ModelGrid.between(grid.geometry, grid.geometry))
    return tuple(LabelAssigner(each, spec, axis, kernels, device) for each in grids)


def _is_binary(spec: ModelSpec) -> bool:
    return spec.activation == "softmax" and not spec.heads and spec.output_channels == _BINARY_CHANNELS


def _to_scores(logits: Float32Array, spec: ModelSpec) -> Float32Array:
    """Returns probabilities [N, C, P, Q]; for a threshold, minus 0.5, so that the threshold is 0 as for logits."""
    if spec.activation == "sigmoid" or _is_binary(spec):  # softmax of two logits is the sigmoid of their difference
        scores: Float32Array = np.float32(1) / (np.float32(1) + np.exp(-logits)) - np.float32(0.5)
        return scores
    probabilities = logits.copy()
    for head in spec.head_channels:
        exponentials = np.exp(logits[:, head] - logits[:, head].max(axis=1)[:, np.newaxis])
        probabilities[:, head] = exponentials / exponentials.sum(axis=1)[:, np.newaxis]
    return probabilities


def _class_numbers(spec: ModelSpec) -> LabelArray:
    """Returns the class number of each channel of the label logits; 0 for channels without a class."""
    dtype = np.uint8 if len(spec.classes) < 256 else np.uint16
    if spec.activation == "sigmoid":
        return np.arange(1, len(spec.classes) + 1, dtype=dtype)
    numbers: LabelArray = np.zeros(spec.output_channels, dtype=dtype)
    for number, class_spec in enumerate(spec.classes, 1):
        numbers[class_spec.channel] = number
    return numbers


def _empty_labels(source: hd.VolumeGeometry, spec: ModelSpec) -> LabelArray:
    """Returns a label map without labels; its pages are written, so that the free memory measured later is correct."""
    if spec.has_overlapping_classes:
        return np.full((*source.spatial_shape, (len(spec.classes) + 7) // 8), 0, np.uint8)
    return np.full(source.spatial_shape, 0, _class_numbers(spec).dtype)
