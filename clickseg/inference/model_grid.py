"""The model grid of a case, and where its voxels are in the series.

A model with a crop sees only a box of the series: its windows cover this box, and voxels outside it are background.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import highdicom as hd
import numpy as np

from clickseg.core.arrays import Box, FloatArray, Mask, full_box
from clickseg.core.label_map import LabelMap
from clickseg.inference.linear import LinearWeights
from clickseg.inference.orientation import reorientation_to
from clickseg.inference.resample import labels_separate_axis, source_coordinates
from clickseg.models.spec import ModelSpec

AnyGrid = TypeVar("AnyGrid", hd.VolumeGeometry, hd.Volume)


def crop_grid(grid: AnyGrid, box: Box) -> AnyGrid:
    """Returns a box of a grid or volume; the array of a volume is shared."""
    slices: Any = box  # highdicom's type is a tuple of only one slice
    part: AnyGrid = grid[slices]
    return part


@dataclass(frozen=True, slots=True)
class ModelGrid:
    """The grid of the network's input.

    Attributes:
        source: The source grid [K, J, I], in LPS mm.
        source_box: The part of the source grid that is resampled.
        resampled: The grid [I, J, K] to which this part is resampled.
        box: The part of that grid that the network sees.
    """

    source: hd.VolumeGeometry
    source_box: Box
    resampled: hd.VolumeGeometry
    box: Box

    @classmethod
    def between(cls, source: hd.VolumeGeometry, resampled: hd.VolumeGeometry) -> ModelGrid:
        """Returns the grid without a crop.

        Args:
            source: The source grid [K, J, I].
            resampled: The grid to which it is resampled [I, J, K]; the source itself for labels on that grid.
        """
        return cls(source, full_box(source.spatial_shape), resampled, full_box(resampled.spatial_shape))

    @property
    def geometry(self) -> hd.VolumeGeometry:
        """The grid of the network's input [I, J, K], in LPS mm."""
        return crop_grid(self.resampled, self.box)

    @property
    def is_cropped(self) -> bool:
        """Whether the network sees only a part of the series."""
        complete = self.between(self.source, self.resampled)
        return (self.source_box, self.box) != (complete.source_box, complete.box)

    def crop(self, box: Box) -> ModelGrid:
        """Returns the grid of a box of the grid that is not cropped yet."""
        return replace(self, box=box)

    def sample(self, spec: ModelSpec) -> SourceSampling:
        """Returns which source voxels are labelled, and from which voxels of the grid.

        As in MONAI's inverse of a crop, voxels beyond the box count as 0. A source voxel between one in the box and one
        beyond it is labelled as the one in the box: a factor changes neither the largest logit nor the sign of a logit.
        It does change a probability: with a threshold, only voxels nearer to the box than to the outside are labelled.
        """
        part = crop_grid(self.source, self.source_box)
        coordinates = source_coordinates(part, self.resampled, spec.grid)
        linear, nearest = self._weights(coordinates, part, spec)
        has_half = spec.interpolation == "probabilities" and spec.activation == "sigmoid"
        deciding = nearest if has_half or spec.interpolation == "labels" else linear
        i, j, k = (weights.range_inside(axis_part) for weights, axis_part in zip(deciding, self.box, strict=True))
        chosen = nearest if spec.interpolation == "labels" else linear
        weights_i, weights_j, weights_k = (
            weights.select(axis_range, 0).clip_to(axis_part)
            for weights, axis_range, axis_part in zip(chosen, (i, j, k), self.box, strict=True)
        )
        return SourceSampling((i, j, k), (weights_i, weights_j, weights_k))

    def _weights(
        self, coordinates: tuple[FloatArray, ...], part: hd.VolumeGeometry, spec: ModelSpec
    ) -> tuple[list[LinearWeights], list[LinearWeights]]:
        """Returns the weights of the voxels of the grid for each axis of a source grid: linear, and for the nearest.

        With another alignment than ``first_voxel``, halfway between two voxels the upper one is the nearest, as in
        SciPy; along a separate axis, the linear weights are those for the nearest.
        """
        counts = self.resampled.spatial_shape
        linear = [LinearWeights.at_coordinates(points, n) for points, n in zip(coordinates, counts, strict=True)]
        if spec.grid.alignment == "first_voxel":
            return linear, [weights.round_to_nearest() for weights in linear]
        nearest = [LinearWeights.at_nearest(points, n) for points, n in zip(coordinates, counts, strict=True)]
        separate = labels_separate_axis(part, spec.grid)
        if separate is not None:
            linear[separate] = nearest[separate]
        return linear, nearest

    def nearest_labels_mask(self, mask: Mask, spec: ModelSpec) -> Mask:
        """Returns the source voxels [K, J, I] whose label is taken from a voxel of a mask on the model grid.

        Args:
            mask: The mask [I, J, K].
            spec: A model that interpolates labels.
        """
        sampling = self.sample(spec)
        source_mask: Mask = np.zeros(self.source.spatial_shape, dtype=bool)
        view = reorientation_to(self.source, spec.grid.orientation).view(source_mask[self.source_box])
        nearest = [np.where(weights.weight > 0, weights.upper, weights.lower) for weights in sampling.weights]
        view[sampling.ranges] = mask[np.ix_(*nearest)]
        return source_mask


@dataclass(frozen=True, slots=True)
class SourceSampling:
    """The source voxels that are labelled from the model grid.

    Attributes:
        ranges: Their range along each axis of the resampled part of the source grid, oriented as the model grid.
        weights: For each axis, the weights of the model voxels for these source voxels.
    """

    ranges: Box
    weights: tuple[LinearWeights, LinearWeights, LinearWeights]


@dataclass(frozen=True, slots=True)
class GridLabels:
    """The model grid of a case, and the labels on it.

    Attributes:
        grid: The model grid.
        labels: The label map on the model grid [I, J, K]; None if the postprocessing of the model does not need it.
    """

    grid: ModelGrid
    labels: LabelMap | None = None
