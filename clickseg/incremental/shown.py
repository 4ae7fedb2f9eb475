"""The label map that a user sees, and where it changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

import highdicom as hd

from clickseg.arrays import Numbers
from clickseg.boxes import Box, around, bounds_of, placed, whole
from clickseg.clicks.click import Click
from clickseg.inference.postprocess import Removed, postprocess
from clickseg.label_map import LabelMap
from clickseg.models.spec import ModelSpec


class Shown(Protocol):
    """A label map after postprocessing."""

    @property
    def labels(self) -> LabelMap:
        """The label map; it changes with the next update."""
        ...

    @property
    def removed(self) -> tuple[Removed, ...]:
        """What postprocessing removed from each class; empty where it is not applied."""
        ...

    def update(self, labels: LabelMap, box: Box | None, clicks: Sequence[Click]) -> Box | None:
        """Brings it up to date.

        Args:
            labels: The label map, as the network says it.
            box: Where it changed; None where it did not.
            clicks: The clicks that there are.

        Returns:
            The smallest box [K, J, I] that holds all voxels whose classes changed here; None where none did.
        """
        ...


class AsItIs:
    """Nothing is removed."""

    removed: tuple[Removed, ...] = ()

    def __init__(self, labels: LabelMap) -> None:
        self.labels = labels.copied()

    def update(self, labels: LabelMap, box: Box | None, clicks: Sequence[Click]) -> Box | None:  # noqa: ARG002
        """See ``Shown``."""
        return None if box is None else written(self.labels, [(box, labels.array[box])])


class AsAWhole:
    """All of it is postprocessed each time: for classes too many to keep their components in memory."""

    def __init__(self, labels: LabelMap, volume: hd.Volume, spec: ModelSpec) -> None:
        self._volume, self._spec = volume, spec
        self.labels = labels.copied()
        self.removed: tuple[Removed, ...] = ()

    def update(self, labels: LabelMap, box: Box | None, clicks: Sequence[Click]) -> Box | None:  # noqa: ARG002
        """See ``Shown``."""
        left, self.removed = postprocess(labels, self._volume, clicks, self._spec)
        return written(self.labels, [(whole(left.array.shape[:3]), left.array)])


def written(labels: LabelMap, parts: Iterable[tuple[Box, Numbers]]) -> Box | None:
    """Writes parts into a label map, and returns the smallest box that holds all voxels whose classes changed."""
    changed = []
    for box, array in parts:
        differs = array != labels.array[box]
        bounds = bounds_of(differs.any(axis=-1) if labels.overlapping else differs)
        if bounds is not None:
            labels.array[box] = array
            changed.append(placed(bounds, box))
    return around(changed) if changed else None


def part_of(labels: LabelMap, box: Box) -> LabelMap:
    """Returns a part of a label map, which shares its memory."""
    return replace(labels, array=labels.array[box])
