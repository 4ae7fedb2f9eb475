"""The label map after postprocessing, as the user sees it; an update recomputes only the part that changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import highdicom as hd
import numpy as np

from clickseg.clicks.click import Click, Polarity, has_foreground_click
from clickseg.core.arrays import Box, LabelArray, Mask, bounding_box, full_box, mask_bounds, to_global_box
from clickseg.core.label_map import LabelMap
from clickseg.inference.components import ConnectedComponents
from clickseg.inference.model_grid import GridLabels, ModelGrid
from clickseg.inference.postprocess import (
    ClassRules,
    ComponentGrid,
    Removal,
    postprocess,
    select_dropped_components,
    uncropped_grid,
    voxels_below_minimum,
)
from clickseg.models.spec import ModelSpec


class ResultView(Protocol):
    """A label map after postprocessing."""

    @property
    def labels(self) -> LabelMap:
        """The label map; the next update changes it in place."""
        ...

    @property
    def removed(self) -> tuple[Removal, ...]:
        """The amount that postprocessing removed from each class; empty if postprocessing is not applied."""
        ...

    def update(self, labels: LabelMap, box: Box | None, clicks: Sequence[Click]) -> Box | None:
        """Updates the view.

        Args:
            labels: The label map before postprocessing.
            box: The part that changed; None if it did not change.
            clicks: The current clicks.

        Returns:
            The bounding box [K, J, I] of the voxels whose class changed in the view; None if no voxel changed.
        """
        ...


def make_view(
    labels: LabelMap,
    volume: hd.Volume,
    spec: ModelSpec,
    *,
    on_grid: GridLabels,
    postprocessing: bool,
    memory_bytes: int,
) -> ResultView:
    """Returns the view of an empty label map.

    Args:
        labels: The label map on the source grid, all background.
        volume: The series of the first input [K, J, I], in its unit.
        spec: The model.
        on_grid: The model grid, and the labels on it, which the inference updates in place.
        postprocessing: Whether the model's postprocessing is applied.
        memory_bytes: The memory that an incremental view may use; if it needs more, each update is a full one.
    """
    if not postprocessing or spec.postprocessing.keeps_everything:
        view: ResultView = UnprocessedView(labels)
    elif on_grid.labels is None and IncrementalView.memory_bytes(labels) <= memory_bytes:
        view = IncrementalView(labels, volume, spec, on_grid.grid)
    else:
        view = FullUpdateView(labels, volume, spec, on_grid)
    return EmptyUntilClickedView(view) if spec.guidance and spec.guidance.required else view


class EmptyUntilClickedView:
    """Shows an empty label map before the first foreground click, for models that require one."""

    def __init__(self, view: ResultView) -> None:
        self._view, self._empty, self._is_clicked = view, view.labels.copy(), False

    @property
    def labels(self) -> LabelMap:
        """See ``ResultView``."""
        return self._view.labels if self._is_clicked else self._empty

    @property
    def removed(self) -> tuple[Removal, ...]:
        """See ``ResultView``."""
        return self._view.removed if self._is_clicked else ()

    def update(self, labels: LabelMap, box: Box | None, clicks: Sequence[Click]) -> Box | None:
        """See ``ResultView``. The result appears with the first foreground click, and disappears with the last one."""
        before = _foreground_bounds(self.labels)
        was_clicked, self._is_clicked = self._is_clicked, has_foreground_click(clicks)
        changed = self._view.update(labels, box, clicks)
        if was_clicked and self._is_clicked:
            return changed
        return _foreground_bounds(self.labels) if self._is_clicked else before


class UnprocessedView:
    """Shows the label map without postprocessing."""

    removed: tuple[Removal, ...] = ()

    def __init__(self, labels: LabelMap) -> None:
        self.labels = labels.copy()

    def update(self, labels: LabelMap, box: Box | None, clicks: Sequence[Click]) -> Box | None:  # noqa: ARG002
        """See ``ResultView``."""
        return None if box is None else _write_parts(self.labels, [(box, labels.array[box])])


class FullUpdateView:
    """Postprocesses the complete label map at each update.

    It is used if the components of all classes do not fit into memory, or are on the model grid.
    """

    def __init__(self, labels: LabelMap, volume: hd.Volume, spec: ModelSpec, on_grid: GridLabels | None = None) -> None:
        self._volume, self._spec, self._on_grid = volume, spec, on_grid
        self.labels = labels.copy()
        self.removed: tuple[Removal, ...] = ()

    def update(self, labels: LabelMap, box: Box | None, clicks: Sequence[Click]) -> Box | None:  # noqa: ARG002
        """See ``ResultView``."""
        processed, self.removed = postprocess(labels, self._volume, clicks, self._spec, self._on_grid)
        return _write_parts(self.labels, [(full_box(processed.array.shape[:3]), processed.array)])


@dataclass
class _ClassState:
    """One class: its components, the numbers of the removed components, and the count of voxels below ``min_value``."""

    number: int
    name: str
    components: ConnectedComponents
    removed: frozenset[int]
    low_voxel_count: int


class IncrementalView:
    """Postprocesses only the changed part again: the voxels in its box, and components that are added or removed.

    Attributes:
        labels: The label map after postprocessing.
        removed: The amount that was removed from each class.
    """

    def __init__(self, labels: LabelMap, volume: hd.Volume, spec: ModelSpec, grid: ModelGrid | None = None) -> None:
        """Starts with an empty label map.

        Args:
            labels: The label map on the source grid, all background.
            volume: The series of the first input [K, J, I], in its unit.
            spec: The model.
            grid: The model grid; None for one that covers the complete volume.
        """
        self._volume, self._spec = volume, spec
        grid = grid or uncropped_grid(volume, spec)
        self._grids = ComponentGrid(grid.source, grid.geometry)
        self._raw = labels.copy()
        self.labels = labels.copy()
        self.removed: tuple[Removal, ...] = ()
        empty, connectivity = np.zeros(volume.spatial_shape, dtype=bool), spec.postprocessing.connectivity
        self._classes = [
            _ClassState(number, class_spec.name, ConnectedComponents(empty, connectivity), frozenset(), 0)
            for number, class_spec in enumerate(spec.classes, 1)
        ]

    @staticmethod
    def memory_bytes(labels: LabelMap) -> int:
        """Returns the memory that the view of a label map uses."""
        voxels = int(np.prod(labels.array.shape[:3]))
        return 2 * labels.array.nbytes + 4 * voxels * labels.class_count

    def update(self, labels: LabelMap, box: Box | None, clicks: Sequence[Click]) -> Box | None:
        """See ``ResultView``."""
        updates = [self._update_class(state, labels, box, clicks) for state in self._classes]
        self.removed = tuple(removed for _, removed in updates)
        if box is not None:
            self._raw.array[box] = labels.array[box]
        return _write_parts(
            self.labels, self._postprocess_boxes([changed for boxes, _ in updates for changed in boxes])
        )

    def _update_class(
        self, state: _ClassState, labels: LabelMap, box: Box | None, clicks: Sequence[Click]
    ) -> tuple[list[Box], Removal]:
        """Returns the boxes in which the result of a class may change, and the amount that is removed from it."""
        changed: list[Box] = []
        if box is not None:
            before, now = (_crop(label_map, box).mask(state.number) for label_map in (self._raw, labels))
            values = self._volume.array[box]
            low = voxels_below_minimum(now, values, self._spec)
            state.low_voxel_count += int(low.sum()) - int(voxels_below_minimum(before, values, self._spec).sum())
            changed.append(state.components.update(now & ~low, box))
        clicked = [c for c in clicks if c.label == state.name and c.polarity is Polarity.FOREGROUND]
        removed, amount = select_dropped_components(
            state.components, state.low_voxel_count, self._grids, ClassRules(state.name, clicked, self._spec)
        )
        table = state.components.table
        changed += [table[number].box for number in removed ^ state.removed if number in table]
        state.removed = removed
        return changed, amount

    def _postprocess_boxes(self, boxes: Sequence[Box]) -> Iterator[tuple[Box, LabelArray]]:
        """Yields boxes of the label map after postprocessing, or the complete grid if that has fewer voxels."""
        grid_box = full_box(self._raw.array.shape[:3])
        is_larger = sum(map(_voxel_count, boxes)) > _voxel_count(grid_box)
        for box in [grid_box] if is_larger else boxes:
            part = _crop(self._raw, box)
            for state in self._classes:
                low = voxels_below_minimum(part.mask(state.number), self._volume.array[box], self._spec)
                part = part.without_voxels(state.number, low | state.components.component_mask(state.removed, box))
            yield box, part.array


def _write_parts(labels: LabelMap, parts: Iterable[tuple[Box, LabelArray]]) -> Box | None:
    """Writes parts into a label map, and returns the bounding box of the voxels whose class changed."""
    changed = []
    for box, array in parts:
        bounds = mask_bounds(_any_byte(array != labels.array[box], labels))
        if bounds is not None:
            labels.array[box] = array
            changed.append(to_global_box(bounds, box))
    return bounding_box(changed) if changed else None


def _crop(labels: LabelMap, box: Box) -> LabelMap:
    """Returns a part of a label map; it shares the memory of the label map."""
    return replace(labels, array=labels.array[box])


def _foreground_bounds(labels: LabelMap) -> Box | None:
    """Returns the bounding box of all classes; None if the label map is empty."""
    return mask_bounds(_any_byte(labels.array != 0, labels))


def _any_byte(mask: Mask, labels: LabelMap) -> Mask:
    """Returns, for each voxel, whether a mask of a label map's array is true in any of the voxel's bytes."""
    combined: Mask = np.logical_or.reduce(mask, axis=-1) if labels.is_overlapping else mask
    return combined


def _voxel_count(box: Box) -> int:
    return math.prod(part.stop - part.start for part in box)
