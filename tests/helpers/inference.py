"""Entire volumes on the model grid, fake networks, and label maps from logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import highdicom as hd
import numpy as np
from scipy import ndimage

from clickseg.core import arrays
from clickseg.core.label_map import LabelMap
from clickseg.inference.kernels import NumpyKernels
from clickseg.inference.label_assignment import LabelAssigner, label_logits
from clickseg.inference.model_grid import ModelGrid
from clickseg.inference.resample import ResampledImage
from clickseg.inference.stitching import PlaneBlock
from clickseg.models.spec import ModelSpec


def full_image(image: ResampledImage) -> np.ndarray:
    """Returns the entire image, after checking that each part of it has the same bytes."""
    array = image.crop(arrays.full_box(image.shape))
    for axis, count in enumerate(image.shape):
        ranges = [slice(first, min(first + 3, count)) for first in range(0, count, 3)]
        parts = [image.crop(arrays.replace_axis_range(arrays.full_box(image.shape), axis, part)) for part in ranges]
        assert np.concatenate(parts, axis=axis).tobytes() == array.tobytes()
    inner = tuple(slice(count // 3, count // 3 + 2) for count in image.shape)
    assert image.crop(inner).tobytes() == array[inner].tobytes()
    return array


def keep_largest_components(
    labels: np.ndarray, numbers: Sequence[int], count: int = 1, connectivity: str = "faces"
) -> np.ndarray:
    """Returns labels with only the largest components of some classes, as MONAI's ``KeepLargestConnectedComponent``."""
    structure = np.ones((3, 3, 3)) if connectivity == "full" else None
    kept = labels.copy()
    for number in numbers:
        components, _ = ndimage.label(labels == number, structure)
        sizes = np.bincount(components.ravel())
        largest = 1 + np.argsort(-sizes[1:], kind="stable")[:count]  # of equally large ones the first
        kept[(components > 0) & ~np.isin(components, largest)] = 0
    return kept


def label_map_from_logits(
    logits: np.ndarray, grid: hd.VolumeGeometry, source: hd.VolumeGeometry, spec: ModelSpec
) -> LabelMap:
    """Returns the label map of logits on the model grid, after checking that blocks of all sizes give the same."""
    label_maps = []
    for axis in range(3):
        for size in (1, 4, 100):
            assigner = LabelAssigner(ModelGrid.between(source, grid), spec, axis, NumpyKernels())
            planes = np.moveaxis(label_logits(logits, spec), 1 + axis, 0)
            for first in range(0, len(planes), size):
                start = max(first - 1, 0)
                assigner.update(PlaneBlock(start, planes[start : first + size]))
            label_maps.append(assigner.label_map())
    for axis in range(3):
        assert len({labels.array.tobytes() for labels in label_maps[3 * axis : 3 * axis + 3]}) == 1
    return label_maps[0]


class FakeNetwork:
    """An engine whose output is a function of its input."""

    def __init__(self, function: Callable[[np.ndarray], np.ndarray], batch: int = 1) -> None:
        self.batch = batch
        self.calls = 0
        self._function = function

    def infer(self, batch: np.ndarray) -> np.ndarray:
        self.calls += 1
        assert batch.flags["C_CONTIGUOUS"]
        assert len(batch) == self.batch
        return self._function(batch)
