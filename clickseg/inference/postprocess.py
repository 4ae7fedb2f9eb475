"""Dropping what the model package says is no finding; on the source grid, and never without a word of it.

``Components`` are the connected components of one class, kept up to date where its voxels change.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import TypeVar

import highdicom as hd
import numpy as np
from numpy.typing import NDArray

from clickseg.clicks.click import Click, Polarity
from clickseg.core.arrays import Box, Indices, Integers, Mask, Values, around, grown, whole, within
from clickseg.core.label_map import LabelMap
from clickseg.inference.guidance import ball_offsets, inside, voxels_of
from clickseg.inference.resample import model_geometry
from clickseg.models.spec import ModelSpec, PostprocessingSpec

_BLOCK_VOXELS = 1 << 20

_MAX_INT32 = np.iinfo(np.int32).max

T = TypeVar("T", bound=np.generic)


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
        dropped, note = _find_dropped_voxels(labels.mask(number), volume, clicked, spec, each.name)
        labels = labels.without(number, dropped)
        removed.append(note)
    return labels, tuple(removed)


def _find_dropped_voxels(
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
    hits = [components_at_click(click, components.numbers, volume, spec) for click in clicked]
    kept = _kept_components(components, hits, spec.postprocessing)
    least = spec.postprocessing.min_volume_ml
    lost = frozenset(n for n, each in table.items() if n not in kept or each.voxel_count * voxel_ml < least)
    lost_ml = sum(table[number].voxel_count for number in lost) * voxel_ml
    beside = sum(not hit.size for hit in hits)
    return lost, Removed(label, float(low * voxel_ml), len(lost), float(lost_ml), beside)


def components_at_click(click: Click, components: Integers, volume: hd.Volume, spec: ModelSpec) -> Indices:
    """Returns the component that a click lies in, else those that its ball touches: a tumour's centre may be necrotic.

    Args:
        click: The click.
        components: Component numbers [K, J, I] on the source grid, 0 outside.
        volume: The source grid.
        spec: The model, on whose grid the ball is drawn.
    """
    own = _components_at_voxels(components, voxels_of([click.position_mm], volume))
    if own.size or spec.guidance is None:
        return own
    model = model_geometry(volume.get_geometry(), spec.grid)
    ball = voxels_of([click.position_mm], model) + ball_offsets(spec.guidance.radius_vox)
    return _components_at_voxels(components, voxels_of(model.map_indices_to_reference(ball), volume))


def _components_at_voxels(components: Integers, voxels: Indices) -> Indices:
    """Returns the components at some voxels; those outside have none."""
    found = np.unique(components[tuple(inside(voxels, components.shape).T)])
    return found[found > 0]


def _kept_components(components: Components, hits: Sequence[Indices], rules: PostprocessingSpec) -> Set[int]:
    """Returns which components are kept; the first of equally large ones is the largest."""
    table = components.table
    if rules.keep == "largest" and table:
        most = max(each.voxel_count for each in table.values())
        return {min((n for n, each in table.items() if each.voxel_count == most), key=components.first_voxel)}
    if rules.keep == "clicked" and hits:
        return {int(number) for number in np.concatenate(hits)}
    return table.keys()


@dataclass(frozen=True, slots=True)
class Component:
    """One component.

    Attributes:
        voxels: How many it has.
        box: The smallest box that holds it.
    """

    voxel_count: int
    box: Box


class Components:
    """Components of voxels that share a face; their numbers stay as long as nothing touches them.

    Attributes:
        numbers: The component of each voxel [K, J, I]; 0 for none.
        table: The components by number.
    """

    def __init__(self, mask: Mask) -> None:
        """Finds the components of a mask [K, J, I]."""
        self.numbers: Integers = np.zeros(mask.shape, np.uint16)  # as narrow as will do: there is one for each voxel
        self.table: dict[int, Component] = {}
        self._next = 1
        if mask.any():
            self.update(mask, whole(mask.shape))

    def first_voxel(self, number: int) -> int:
        """Returns a component's first voxel, counted through the volume: what orders components of the same size."""
        box = self.table[number].box
        inside = self.numbers[box] == number
        place = np.unravel_index(int(inside.argmax()), inside.shape)
        index = [int(at) + part.start for at, part in zip(place, box, strict=True)]
        return int(np.ravel_multi_index(index, self.numbers.shape))

    def where(self, chosen: Collection[int], box: Box) -> Mask:
        """Returns which voxels of a box belong to some components."""
        numbers, sought = self.numbers[box], np.fromiter(chosen, self.numbers.dtype, len(chosen))
        found = np.zeros(numbers.shape, dtype=bool)
        if len(sought):
            for one, other in zip(_split_blocks(found), _split_blocks(numbers), strict=True):
                one[...] = np.isin(other, sought)
        return found

    def update(self, part: Mask, box: Box) -> Box:
        """Finds anew what a change of the mask in a box touches.

        A component that neither reaches into the box nor lies beside it is what it was. All others lie, before and
        after, in the box and in what they covered before.

        Args:
            part: The mask in the box, as it is now.
            box: Where it changed.

        Returns:
            The box in which components were found anew.
        """
        from scipy import ndimage  # only where there is something to find

        beside = grown(box, self.numbers.shape)
        touched = sorted(set().union(*(np.unique(each).tolist() for each in _split_blocks(self.numbers[beside]))) - {0})
        region = around([beside, *(self.table.pop(number).box for number in touched)])
        found = self._replace_components(touched, part, box, region)
        if self.table:
            labelled, count = ndimage.label(found)
            self._ensure_capacity(self._next - 1 + count)
            numbers = self.numbers[region]
            np.add(labelled, self._next - 1, out=numbers, where=found, casting="unsafe")
        else:  # all of it is 0: no second array is needed
            self._next, labelled = 1, self._label_region(found, region)
        for component in _list_components(labelled, region):
            self.table[self._next] = component
            self._next += 1
        return region

    def _replace_components(self, touched: Collection[int], part: Mask, box: Box, region: Box) -> Mask:
        """Takes some components away, and returns what is in their region now: the rest of them, and a part."""
        if not touched and region == box:
            return part
        found = self.where(touched, region)
        self.numbers[region][found] = 0
        found[within(box, region)] = part
        return found

    def _label_region(self, found: Mask, region: Box) -> Integers:
        """Numbers the components of a region in place, and returns their numbers."""
        from scipy import ndimage

        try:
            ndimage.label(found, output=self.numbers[region])
        except RuntimeError:  # there are too many for so narrow a type
            self._ensure_capacity(_MAX_INT32)
            ndimage.label(found, output=self.numbers[region])
        return self.numbers[region]

    def _ensure_capacity(self, most: int) -> None:
        """Makes room for numbers."""
        if most > np.iinfo(self.numbers.dtype).max:
            self.numbers = self.numbers.astype(np.int32)


def _split_blocks(array: NDArray[T]) -> Iterator[NDArray[T]]:
    """Yields an array some planes at a time: what NumPy counts and looks up in takes 8 bytes a voxel meanwhile."""
    step = max(1, _BLOCK_VOXELS // math.prod(array.shape[1:]))
    return (array[first : first + step] for first in range(0, len(array), step))


def _list_components(labelled: Integers, region: Box) -> Iterator[Component]:
    from scipy import ndimage

    boxes = ndimage.find_objects(labelled)
    sizes = np.zeros(1 + len(boxes), dtype=np.int64)
    for block in _split_blocks(labelled):
        sizes += np.bincount(block.ravel(), minlength=len(sizes))
    for size, box in zip(sizes[1:].tolist(), boxes, strict=True):
        k, j, i = (slice(part.start + of.start, part.stop + of.start) for part, of in zip(box, region, strict=True))
        yield Component(size, (k, j, i))
