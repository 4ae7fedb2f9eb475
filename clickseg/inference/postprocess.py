"""Postprocessing by the rules of the model package; everything removed is reported."""

from __future__ import annotations

import heapq
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

import highdicom as hd
import numpy as np

from clickseg.clicks.click import Click, Polarity
from clickseg.core.arrays import (
    Float32Array,
    IndexArray,
    IntegerArray,
    Mask,
    full_box,
)
from clickseg.core.label_map import LabelMap
from clickseg.inference.components import ConnectedComponents
from clickseg.inference.guidance import ball_offsets, positions_to_voxels, voxels_inside
from clickseg.inference.model_grid import GridLabels, ModelGrid
from clickseg.inference.resample import model_geometry
from clickseg.models.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Removal:
    """What postprocessing removed from one class.

    Attributes:
        label: The name of the class.
        below_min_value_ml: The volume of the voxels below ``min_value``.
        component_count: The number of dropped components.
        components_ml: The volume of the dropped components.
        unmatched_clicks: The number of foreground clicks of the class that are outside all components and whose balls
            touch no component.
    """

    label: str
    below_min_value_ml: float
    component_count: int
    components_ml: float
    unmatched_clicks: int


def postprocess(
    labels: LabelMap, volume: hd.Volume, clicks: Sequence[Click], spec: ModelSpec, on_grid: GridLabels | None = None
) -> tuple[LabelMap, tuple[Removal, ...]]:
    """Applies the postprocessing of a model package.

    Components are found on the source grid, or on the model grid; then source voxels whose label is that of a removed
    voxel of the model grid are removed.

    Args:
        labels: The label map on the source grid [K, J, I].
        volume: The series of the first input [K, J, I], in its unit.
        clicks: The clicks that were used.
        spec: The model, with its ``postprocessing`` rules.
        on_grid: The model grid, and the labels on it if components are found there; None for a grid that covers the
            complete volume.

    Returns:
        The postprocessed label map, and what was removed from each class.
    """
    if spec.postprocessing.keeps_everything:
        return labels, ()
    on_grid = on_grid or GridLabels(uncropped_grid(volume, spec))
    removals = []
    for number, class_spec in enumerate(spec.classes, 1):
        class_clicks = [c for c in clicks if c.label == class_spec.name and c.polarity is Polarity.FOREGROUND]
        rules = ClassRules(class_spec.name, class_clicks, spec)
        if on_grid.labels is not None:
            grid = on_grid.grid.geometry
            mask = on_grid.labels.mask(number)
            dropped, removal = _find_dropped_voxels(mask, None, ComponentGrid(grid, grid), rules)
            dropped = on_grid.grid.nearest_labels_mask(dropped, spec)
        else:
            grids, mask = ComponentGrid(on_grid.grid.source, on_grid.grid.geometry), labels.mask(number)
            low = voxels_below_minimum(mask, volume.array, spec)
            dropped, removal = _find_dropped_voxels(mask, low if low.any() else None, grids, rules)
        labels = labels.without_voxels(number, dropped)
        removals.append(removal)
    return labels, tuple(removals)


def uncropped_grid(volume: hd.Volume, spec: ModelSpec) -> ModelGrid:
    """Returns the model grid that covers a complete volume [K, J, I]."""
    source = volume.get_geometry()
    return ModelGrid.between(source, model_geometry(source, spec.grid))


@dataclass(frozen=True, slots=True)
class ClassRules:
    """What decides which components of a class are kept.

    Attributes:
        label: The name of the class.
        clicks: The foreground clicks of the class.
        spec: The model.
    """

    label: str
    clicks: Sequence[Click]
    spec: ModelSpec


class ComponentGrid(NamedTuple):
    """The grid of components, and the model grid on which the balls of clicks are rasterized; may be the same."""

    components: hd.VolumeGeometry
    balls: hd.VolumeGeometry


def _find_dropped_voxels(mask: Mask, low: Mask | None, grids: ComponentGrid, rules: ClassRules) -> tuple[Mask, Removal]:
    """Returns the voxels of a class that are dropped, and a summary of what is removed.

    Args:
        mask: The voxels of the class.
        low: Those below ``min_value``, which are dropped first; None for no voxels.
        grids: The grid of the mask.
        rules: The rules of the class.
    """
    components = ConnectedComponents(mask if low is None else mask & ~low, rules.spec.postprocessing.connectivity)
    low_voxel_count = 0 if low is None else int(low.sum())
    dropped_components, removal = select_dropped_components(components, low_voxel_count, grids, rules)
    dropped = components.component_mask(dropped_components, full_box(mask.shape))
    if low is not None:
        dropped |= low
    return dropped, removal


def voxels_below_minimum(mask: Mask, values: Float32Array, spec: ModelSpec) -> Mask:
    """Returns the voxels of a class with a value below ``min_value``."""
    min_value = spec.postprocessing.min_value
    return mask & (values < min_value) if min_value is not None else np.zeros_like(mask)


def select_dropped_components(
    components: ConnectedComponents, low_voxel_count: int, grids: ComponentGrid, rules: ClassRules
) -> tuple[frozenset[int], Removal]:
    """Returns the numbers of the components of a class that are dropped, and a summary of what is removed.

    Args:
        components: The components of the class, without voxels below ``min_value``.
        low_voxel_count: The number of voxels of the class below ``min_value``.
        grids: The grid of the components.
        rules: The rules of the class.
    """
    table, voxel_ml = components.table, grids.components.voxel_volume / 1000
    hits = [components_at_click(click, components.numbers, grids, rules.spec) for click in rules.clicks]
    kept = _kept_components(components, hits, rules)
    min_volume_ml = rules.spec.postprocessing.min_volume_ml
    dropped = frozenset(
        number
        for number, component in table.items()
        if number not in kept or component.voxel_count * voxel_ml < min_volume_ml
    )
    dropped_ml = sum(table[number].voxel_count for number in dropped) * voxel_ml
    unmatched_clicks = sum(not hit.size for hit in hits)
    low_ml = float(low_voxel_count * voxel_ml)
    return dropped, Removal(rules.label, low_ml, len(dropped), float(dropped_ml), unmatched_clicks)


def components_at_click(click: Click, components: IntegerArray, grids: ComponentGrid, spec: ModelSpec) -> IndexArray:
    """Returns the number of the component that contains a click, or else of those that its ball touches.

    The ball is used because the centre of a tumour may be necrotic, and therefore not segmented.

    Args:
        click: The click.
        components: The number of the component of each voxel, 0 outside.
        grids: The grid of the components, and that of the ball.
        spec: The model, with the radius of the ball.
    """
    at_click = _components_at_voxels(components, positions_to_voxels([click.position_mm], grids.components))
    if at_click.size or spec.guidance is None:
        return at_click
    ball = positions_to_voxels([click.position_mm], grids.balls) + ball_offsets(spec.guidance.radius_vox)
    positions_mm = grids.balls.map_indices_to_reference(ball)
    return _components_at_voxels(components, positions_to_voxels(positions_mm, grids.components))


def _components_at_voxels(components: IntegerArray, voxels: IndexArray) -> IndexArray:
    """Returns the numbers of the components at some voxels; voxels outside the volume are ignored."""
    numbers = np.unique(components[tuple(voxels_inside(voxels, components.shape).T)])
    return numbers[numbers > 0]


def _kept_components(components: ConnectedComponents, hits: Sequence[IndexArray], rules: ClassRules) -> Set[int]:
    """Returns the numbers of the components that the ``keep`` rule keeps."""
    keep = rules.spec.postprocessing.keep_rule(rules.label)
    if keep == "largest":
        return _largest_components(components, rules.spec.postprocessing.keep_count)
    if keep == "clicked" and hits:
        return {int(number) for number in np.concatenate(hits)}
    return components.table.keys()


def _largest_components(components: ConnectedComponents, count: int) -> Set[int]:
    """Returns the numbers of the largest components; of equally large ones the first."""
    sizes = {number: component.voxel_count for number, component in components.table.items()}
    if len(sizes) <= count:
        return sizes.keys()
    smallest = heapq.nlargest(count, sizes.values())[-1]
    larger = {number for number, size in sizes.items() if size > smallest}
    equal = sorted((number for number, size in sizes.items() if size == smallest), key=components.first_voxel)
    return larger | set(equal[: count - len(larger)])
