"""The result that a user sees: the label map after postprocessing, updated where a change reaches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import highdicom as hd
import numpy as np

from clickseg.clicks.click import Click, Polarity, say_what_is_meant
from clickseg.core.arrays import Box, Mask, Numbers, around, bounds_of, placed, whole
from clickseg.core.label_map import LabelMap
from clickseg.inference.postprocess import Components, Removed, judged, low_voxels, postprocess
from clickseg.models.spec import ModelSpec


class ResultView(Protocol):
    """A label map after postprocessing."""

    @property
    def labels(self) -> LabelMap:
        """The label map; the next update changes it."""
        ...

    @property
    def removed(self) -> tuple[Removed, ...]:
        """What postprocessing removed from each class; empty where it is not applied."""
        ...

    def update(self, labels: LabelMap, box: Box | None, clicks: Sequence[Click]) -> Box | None:
        """Brings the view up to date.

        Args:
            labels: The label map before postprocessing.
            box: Where it changed; None where it did not.
            clicks: The current clicks.

        Returns:
            The smallest box [K, J, I] that holds all voxels whose classes changed here; None where none did.
        """
        ...


def make_view(
    labels: LabelMap, volume: hd.Volume, spec: ModelSpec, *, postprocessing: bool, memory_bytes: int
) -> ResultView:
    """Returns the view of a label map that is still empty.

    Args:
        labels: The label map on the source grid, without any voxel.
        volume: The series of the first input [K, J, I], in its unit.
        spec: The model.
        postprocessing: Whether the model's postprocessing is applied.
        memory_bytes: How much memory the view may take to be updated in parts.
    """
    if not postprocessing or spec.postprocessing.keeps_everything:
        view: ResultView = Unprocessed(labels)
    elif IncrementalPostprocess.bytes_of(labels) <= memory_bytes:
        view = IncrementalPostprocess(labels, volume, spec)
    else:
        view = FullPostprocess(labels, volume, spec)
    return AfterFirstClick(view) if spec.guidance and spec.guidance.required else view


class AfterFirstClick:
    """Shows nothing before the first foreground click, for models that require one."""

    def __init__(self, view: ResultView) -> None:
        self._view, self._empty, self._is_clicked = view, view.labels.copied(), False

    @property
    def labels(self) -> LabelMap:
        """See ``ResultView``."""
        return self._view.labels if self._is_clicked else self._empty

    @property
    def removed(self) -> tuple[Removed, ...]:
        """See ``ResultView``."""
        return self._view.removed if self._is_clicked else ()

    def update(self, labels: LabelMap, box: Box | None, clicks: Sequence[Click]) -> Box | None:
        """See ``ResultView``: everything found appears with the first such click, and disappears without it."""
        before = _bounds(self.labels)
        was_clicked, self._is_clicked = self._is_clicked, say_what_is_meant(clicks)
        changed = self._view.update(labels, box, clicks)
        if was_clicked and self._is_clicked:
            return changed
        return _bounds(self.labels) if self._is_clicked else before


class Unprocessed:
    """Removes nothing."""

    removed: tuple[Removed, ...] = ()

    def __init__(self, labels: LabelMap) -> None:
        self.labels = labels.copied()

    def update(self, labels: LabelMap, box: Box | None, clicks: Sequence[Click]) -> Box | None:  # noqa: ARG002
        """See ``ResultView``."""
        return None if box is None else _write(self.labels, [(box, labels.array[box])])


class FullPostprocess:
    """Postprocesses the whole label map each time: for more classes than memory can hold the components of."""

    def __init__(self, labels: LabelMap, volume: hd.Volume, spec: ModelSpec) -> None:
        self._volume, self._spec = volume, spec
        self.labels = labels.copied()
        self.removed: tuple[Removed, ...] = ()

    def update(self, labels: LabelMap, box: Box | None, clicks: Sequence[Click]) -> Box | None:  # noqa: ARG002
        """See ``ResultView``."""
        left, self.removed = postprocess(labels, self._volume, clicks, self._spec)
        return _write(self.labels, [(whole(left.array.shape[:3]), left.array)])


@dataclass
class _Class:
    """One class: its components, those that are dropped, and how many voxels are too low in value."""

    number: int
    name: str
    components: Components
    lost: frozenset[int]
    low: int


class IncrementalPostprocess:
    """Postprocesses again only what a change touches: the classes in its box, and components that come or go.

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
        """See ``ResultView``."""
        touched = [self._update_class(each, labels, box, clicks) for each in self._classes]
        self.removed = tuple(note for _, note in touched)
        if box is not None:
            self._raw.array[box] = labels.array[box]
        return _write(self.labels, self._left([each for boxes, _ in touched for each in boxes]))

    def _update_class(
        self, each: _Class, labels: LabelMap, box: Box | None, clicks: Sequence[Click]
    ) -> tuple[list[Box], Removed]:
        """Returns where the result of a class may be another, and what was removed from it."""
        changed: list[Box] = []
        if box is not None:
            before, now = (_part_of(of, box).mask(each.number) for of in (self._raw, labels))
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
            part = _part_of(self._raw, box)
            for each in self._classes:
                low = low_voxels(part.mask(each.number), self._volume.array[box], self._spec)
                part = part.without(each.number, low | each.components.where(each.lost, box))
            yield box, part.array


def _write(labels: LabelMap, parts: Iterable[tuple[Box, Numbers]]) -> Box | None:
    """Writes parts into a label map, and returns the smallest box that holds all voxels whose classes changed."""
    changed = []
    for box, array in parts:
        bounds = bounds_of(_anywhere(array != labels.array[box], labels))
        if bounds is not None:
            labels.array[box] = array
            changed.append(placed(bounds, box))
    return around(changed) if changed else None


def _part_of(labels: LabelMap, box: Box) -> LabelMap:
    """Returns a part of a label map, which shares its memory."""
    return replace(labels, array=labels.array[box])


def _bounds(labels: LabelMap) -> Box | None:
    """Returns the smallest box that holds everything found; None where nothing was."""
    return bounds_of(_anywhere(labels.array != 0, labels))


def _anywhere(mask: Mask, labels: LabelMap) -> Mask:
    """Returns where a mask of a label map's array is true, in any of its bytes."""
    anywhere: Mask = np.logical_or.reduce(mask, axis=-1) if labels.overlapping else mask
    return anywhere


def _voxels(box: Box) -> int:
    return math.prod(part.stop - part.start for part in box)
