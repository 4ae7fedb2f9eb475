"""The label map that a user sees, and where it changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

import highdicom as hd
import numpy as np

from clickseg.arrays import Mask, Numbers
from clickseg.boxes import Box, around, bounds_of, placed, whole
from clickseg.clicks.click import Click, say_what_is_meant
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


class OnceClicked:
    """Nothing is shown before a click says what is meant, for models that need one."""

    def __init__(self, shown: Shown) -> None:
        self._shown, self._empty, self._is_clicked = shown, shown.labels.copied(), False

    @property
    def labels(self) -> LabelMap:
        """See ``Shown``."""
        return self._shown.labels if self._is_clicked else self._empty

    @property
    def removed(self) -> tuple[Removed, ...]:
        """See ``Shown``."""
        return self._shown.removed if self._is_clicked else ()

    def update(self, labels: LabelMap, box: Box | None, clicks: Sequence[Click]) -> Box | None:
        """See ``Shown``: with the first such click all that is found appears, and without it all of it goes."""
        before = _bounds(self.labels)
        was_clicked, self._is_clicked = self._is_clicked, say_what_is_meant(clicks)
        changed = self._shown.update(labels, box, clicks)
        if was_clicked and self._is_clicked:
            return changed
        return _bounds(self.labels) if self._is_clicked else before


def written(labels: LabelMap, parts: Iterable[tuple[Box, Numbers]]) -> Box | None:
    """Writes parts into a label map, and returns the smallest box that holds all voxels whose classes changed."""
    changed = []
    for box, array in parts:
        bounds = bounds_of(_anywhere(array != labels.array[box], labels))
        if bounds is not None:
            labels.array[box] = array
            changed.append(placed(bounds, box))
    return around(changed) if changed else None


def _bounds(labels: LabelMap) -> Box | None:
    """Returns the smallest box that holds all that was found; None where nothing was."""
    return bounds_of(_anywhere(labels.array != 0, labels))


def _anywhere(mask: Mask, labels: LabelMap) -> Mask:
    """Returns where a mask of a label map's array is true, in any of its bytes."""
    anywhere: Mask = np.logical_or.reduce(mask, axis=-1) if labels.overlapping else mask
    return anywhere


def part_of(labels: LabelMap, box: Box) -> LabelMap:
    """Returns a part of a label map, which shares its memory."""
    return replace(labels, array=labels.array[box])
