"""Postprocessing that follows a label map: only what a change touches is looked at again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import highdicom as hd
import numpy as np

from clickseg.arrays import Numbers
from clickseg.boxes import Box, whole
from clickseg.clicks.click import Click, Polarity
from clickseg.incremental.shown import part_of, written
from clickseg.inference.components import Components
from clickseg.inference.postprocess import Removed, judged, low_voxels
from clickseg.label_map import LabelMap
from clickseg.models.spec import ModelSpec


@dataclass
class _Class:
    """One class: its components, those that are dropped, and how many voxels are too low in value."""

    number: int
    name: str
    components: Components
    lost: frozenset[int]
    low: int


class LivePostprocess:
    """What ``postprocess`` gives for a label map and clicks that change.

    Attributes:
        labels: The label map that is left.
        removed: What was removed from each class.
    """

    def __init__(self, labels: LabelMap, volume: hd.Volume, spec: ModelSpec) -> None:
        """Takes an empty label map.

        Args:
            labels: The label map on the source grid, without any voxel.
            volume: The first input's series [K, J, I], in its unit.
            spec: The model.
        """
        self._volume, self._spec = volume, spec
        self._raw = labels.copied()
        self.labels = labels.copied()
        self.removed: tuple[Removed, ...] = ()
        empty = np.zeros(volume.spatial_shape, dtype=bool)
        self._classes = [
            _Class(number, each.name, Components(empty), frozenset(), 0) for number, each in enumerate(spec.classes, 1)
        ]

    @staticmethod
    def bytes_of(labels: LabelMap) -> int:
        """Returns how much memory it takes for a label map."""
        voxels = int(np.prod(labels.array.shape[:3]))
        return 2 * labels.array.nbytes + 4 * voxels * labels.count

    def update(self, labels: LabelMap, box: Box | None, clicks: Sequence[Click]) -> Box | None:
        """See ``Shown``."""
        touched = [self._update_class(each, labels, box, clicks) for each in self._classes]
        self.removed = tuple(note for _, note in touched)
        if box is not None:
            self._raw.array[box] = labels.array[box]
        return written(self.labels, self._left([each for boxes, _ in touched for each in boxes]))

    def _update_class(
        self, each: _Class, labels: LabelMap, box: Box | None, clicks: Sequence[Click]
    ) -> tuple[list[Box], Removed]:
        """Returns where the result of a class may be another, and what was removed from it."""
        changed: list[Box] = []
        if box is not None:
            before, now = (part_of(of, box).mask(each.number) for of in (self._raw, labels))
            values = self._volume.array[box]
            low = low_voxels(now, values, self._spec)
            each.low += int(low.sum()) - int(low_voxels(before, values, self._spec).sum())
            changed.append(each.components.update(now & ~low, box))
        clicked = [c for c in clicks if c.label == each.name and c.polarity is Polarity.FOREGROUND]
        lost, note = judged(each.components, each.low, self._volume, clicked, self._spec, each.name)
        table = each.components.table
        changed += [table[number].box for number in lost ^ each.lost if number in table]
        each.lost = lost
        return changed, note

    def _left(self, boxes: Sequence[Box]) -> Iterator[tuple[Box, Numbers]]:
        """Yields what is left of the label map in some boxes."""
        everything = whole(self._raw.array.shape[:3])
        is_more = sum(map(_voxels, boxes)) > _voxels(everything)
        for box in [everything] if is_more else boxes:
            part = part_of(self._raw, box)
            for each in self._classes:
                low = low_voxels(part.mask(each.number), self._volume.array[box], self._spec)
                part = part.without(each.number, low | each.components.where(each.lost, box))
            yield box, part.array


def _voxels(box: Box) -> int:
    return math.prod(part.stop - part.start for part in box)
