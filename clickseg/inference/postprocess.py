"""Dropping what the model package says is no finding; on the source grid, and never without a word of it."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

import highdicom as hd
import numpy as np

from clickseg.arrays import Indices, Integers, Mask, Values
from clickseg.boxes import whole
from clickseg.clicks.click import Click, Polarity
from clickseg.inference.components import Components
from clickseg.inference.guidance import ball_offsets, inside, voxels_of
from clickseg.inference.resample import model_geometry
from clickseg.label_map import LabelMap
from clickseg.models.spec import ModelSpec, PostprocessingSpec


@dataclass(frozen=True, slots=True)
class Removed:
    """What postprocessing took away from one class.

    Attributes:
        label: The class's name.
        low_ml: Volume of voxels below ``min_value``.
        components: Components that were dropped.
        components_ml: Their volume.
        clicks_beside: Foreground clicks of the class that neither lie in a component nor touch one with their ball.
    """

    label: str
    low_ml: float
    components: int
    components_ml: float
    clicks_beside: int


def postprocess(
    labels: LabelMap, volume: hd.Volume, clicks: Sequence[Click], spec: ModelSpec
) -> tuple[LabelMap, tuple[Removed, ...]]:
    """Applies the postprocessing of a model package.

    Args:
        labels: The label map on the source grid.
        volume: The first input's series [K, J, I], in its unit.
        clicks: The clicks that were used.
        spec: The model, whose ``postprocessing`` counts.

    Returns:
        The label map that is left, and what was removed from each class.
    """
    rules = spec.postprocessing
    if rules.keeps_everything:
        return labels, ()
    removed = []
    for number, each in enumerate(spec.classes, 1):
        clicked = [c for c in clicks if c.label == each.name and c.polarity is Polarity.FOREGROUND]
        dropped, note = _dropped(labels.mask(number), volume, clicked, spec, each.name)
        labels = labels.without(number, dropped)
        removed.append(note)
    return labels, tuple(removed)


def _dropped(
    mask: Mask, volume: hd.Volume, clicked: Sequence[Click], spec: ModelSpec, label: str
) -> tuple[Mask, Removed]:
    """Returns which voxels of a class are dropped."""
    low = low_voxels(mask, volume.array, spec)
    components = Components(mask & ~low if low.any() else mask)
    lost, note = judged(components, int(low.sum()), volume, clicked, spec, label)
    dropped = components.where(lost, whole(mask.shape))
    dropped |= low
    return dropped, note


def low_voxels(mask: Mask, values: Values, spec: ModelSpec) -> Mask:
    """Returns which voxels of a class lie below ``min_value``."""
    least = spec.postprocessing.min_value
    return mask & (values < least) if least is not None else np.zeros_like(mask)


def judged(
    components: Components, low: int, volume: hd.Volume, clicked: Sequence[Click], spec: ModelSpec, label: str
) -> tuple[frozenset[int], Removed]:
    """Returns which components of a class are dropped, and what that removes.

    Args:
        components: Those of its voxels that are not too low.
        low: How many voxels are too low.
        volume: The source grid.
        clicked: The foreground clicks of the class.
        spec: The model.
        label: The class's name.
    """
    table, voxel_ml = components.table, volume.voxel_volume / 1000
    hits = [components_at(click, components.numbers, volume, spec) for click in clicked]
    kept = _kept(components, hits, spec.postprocessing)
    least = spec.postprocessing.min_volume_ml
    lost = frozenset(n for n, each in table.items() if n not in kept or each.voxels * voxel_ml < least)
    lost_ml = sum(table[number].voxels for number in lost) * voxel_ml
    beside = sum(not hit.size for hit in hits)
    return lost, Removed(label, float(low * voxel_ml), len(lost), float(lost_ml), beside)


def components_at(click: Click, components: Integers, volume: hd.Volume, spec: ModelSpec) -> Indices:
    """Returns the component that a click lies in, else those that its ball touches: a tumour's centre may be necrotic.

    Args:
        click: The click.
        components: Component numbers [K, J, I] on the source grid, 0 outside.
        volume: The source grid.
        spec: The model, on whose grid the ball is drawn.
    """
    own = _numbers(components, voxels_of([click.position_mm], volume))
    if own.size or spec.guidance is None:
        return own
    model = model_geometry(volume.get_geometry(), spec.grid)
    ball = voxels_of([click.position_mm], model) + ball_offsets(spec.guidance.radius_vox)
    return _numbers(components, voxels_of(model.map_indices_to_reference(ball), volume))


def _numbers(components: Integers, voxels: Indices) -> Indices:
    """Returns the components at some voxels; those outside have none."""
    found = np.unique(components[tuple(inside(voxels, components.shape).T)])
    return found[found > 0]


def _kept(components: Components, hits: Sequence[Indices], rules: PostprocessingSpec) -> Set[int]:
    """Returns which components are kept; the first of equally large ones is the largest."""
    table = components.table
    if rules.keep == "largest" and table:
        most = max(each.voxels for each in table.values())
        return {min((n for n, each in table.items() if each.voxels == most), key=components.first_voxel)}
    if rules.keep == "clicked" and hits:
        return {int(number) for number in np.concatenate(hits)}
    return table.keys()
