"""Rejects cases whose volumes do not fit into memory, before any value is read."""

from __future__ import annotations

import math
from collections.abc import Sequence

from clickseg.core.memory import Memory
from clickseg.dicom.series import SeriesGeometry
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.resample import has_same_grid
from clickseg.models.spec import ModelSpec

_BYTES_PER_VALUE, _BYTES_PER_LABEL = 4, 1


def check_volume_memory(case: Sequence[SeriesGeometry], spec: ModelSpec, memory: Memory) -> None:
    """Rejects volumes that do not fit into memory together with the label map. It reads headers only.

    Splines, volumes that are scaled before resampling, and those that are brought to the grid of the first input are
    counted as copies of complete volumes, because a crop is not known before values are read. A run needs more than
    that: ``StitchingChoice`` plans the rest once the network is loaded.

    Args:
        case: One series for each input of the model; those in memory are not counted.
        spec: The model.
        memory: The memory that the run may use.

    Raises:
        MemoryLimitError: The volumes do not fit.
    """
    geometries = [series.stack.geometry for series in case]
    reference = geometries[0]
    moved = [not has_same_grid(geometry, reference) for geometry in geometries] if spec.has_common_grid else []
    shapes = [geometry.spatial_shape for geometry in geometries]
    unread = [shape for shape, series in zip(shapes, case, strict=True) if not isinstance(series, SeriesVolume)]
    on_grid = [reference.spatial_shape] * len(shapes) if spec.has_common_grid else shapes
    copied = on_grid if spec.grid.image_order == 3 else []
    scaled = [shape for shape, image in zip(on_grid, spec.inputs, strict=False) if image.scale_before_resampling]
    values = sum(math.prod(shape) for shape in [*unread, *copied, *scaled, *[shapes[0]] * sum(moved)])
    needed = values * _BYTES_PER_VALUE + math.prod(shapes[0]) * _BYTES_PER_LABEL
    memory.check_available(needed, f"{' and '.join(' x '.join(map(str, shape)) for shape in shapes)} voxels")
