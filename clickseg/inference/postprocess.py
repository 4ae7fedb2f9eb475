"""Dropping what the model package says is no finding; on the source grid, and never without a word of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import highdicom as hd
import numpy as np

from clickseg.arrays import Indices, Mask
from clickseg.clicks.click import Click, Polarity
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
    from scipy import ndimage  # a tenth of a second that models without such rules do without

    rules, voxel_ml = spec.postprocessing, volume.voxel_volume / 1000
    low = mask & (volume.array < rules.min_value) if rules.min_value is not None else np.zeros_like(mask)
    components, _ = ndimage.label(mask & ~low)  # neighbours share a face
    sizes = np.bincount(components.ravel())
    hits = [components_at(click, components, volume, spec) for click in clicked]
    keep = _kept(sizes, hits, rules) & (sizes * voxel_ml >= rules.min_volume_ml)
    keep[0] = True
    lost = ~keep
    beside = sum(not hit.size for hit in hits)
    note = Removed(label, float(low.sum() * voxel_ml), int(lost.sum()), float(sizes[lost].sum() * voxel_ml), beside)
    return low | lost[components], note


def components_at(click: Click, components: Indices, volume: hd.Volume, spec: ModelSpec) -> Indices:
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


def _numbers(components: Indices, voxels: Indices) -> Indices:
    """Returns the components at some voxels; those outside have none."""
    found = np.unique(components[tuple(inside(voxels, components.shape).T)])
    return found[found > 0]


def _kept(sizes: Indices, hits: Sequence[Indices], rules: PostprocessingSpec) -> Mask:
    """Returns which components are kept; component 0 is what is outside."""
    numbers = np.arange(len(sizes))
    if rules.keep == "largest" and len(sizes) > 1:
        return np.isin(numbers, 1 + sizes[1:].argmax())
    if rules.keep == "clicked" and hits:
        return np.isin(numbers, np.concatenate(hits))
    return np.ones(len(sizes), dtype=bool)
