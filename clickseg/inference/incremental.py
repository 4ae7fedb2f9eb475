"""Incremental inference: runs only the windows whose input changed, and recomputes only the labels that they affect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clickseg.clicks.click import ClickSequence
from clickseg.core.arrays import Box, IndexArray, bounding_box, expand_box, full_box, merge_intersecting
from clickseg.core.device import Device, array_device
from clickseg.core.label_map import LabelMap
from clickseg.core.memory import Memory
from clickseg.core.progress import Progress
from clickseg.inference.case import PreprocessedCase
from clickseg.inference.engines.engine import Engine
from clickseg.inference.incremental_inputs import (
    Masks,
    MaskStore,
    NetworkInput,
    empty_keys,
    empty_masks,
    mask_channels,
    window_key,
    windows_with_changed_clicks,
    windows_with_changed_mask,
)
from clickseg.inference.incremental_logits import make_logits_store
from clickseg.inference.kernels import KernelChoice, NumpyKernels
from clickseg.inference.label_assignment import label_logit_channels, make_assigners
from clickseg.inference.model_grid import GridLabels
from clickseg.inference.model_input import ModelInput
from clickseg.inference.preprocess import rasterize
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.inference.stitching_choice import StitchingChoice
from clickseg.inference.windows import Window


@dataclass(frozen=True, slots=True)
class Persistence:
    """Where logits and masks are stored for the next process.

    Attributes:
        folder: The folder for both.
        digest: SHA-256 over everything that logits and masks depend on, except the clicks.
    """

    folder: Path
    digest: bytes


class IncrementalInference:
    """The label map of a case, updated when its clicks change.

    A model with a previous mask is run click by click, because the input of each run is the result of the run before.

    The label maps are those of ``_input``, except inside ``_unfinished``, a box of the model grid. A box is added to it
    before its labels are recomputed, and removed when ``_input`` is replaced or the old labels are restored. If an
    update fails or is interrupted, the next update therefore recomputes the unfinished labels.

    Attributes:
        grid: The windows.
        windows_run: The number of windows that the last update ran.
        windows_reused: The number of windows that the last update did not run, because another window with the same
            constant input had been run.
    """

    def __init__(
        self,
        preprocessed: PreprocessedCase,
        engine: Engine,
        memory: Memory,
        choose_kernels: KernelChoice,
        *,
        persistence: Persistence | None = None,
        device: Device | None = None,
    ) -> None:
        """Allocates the label maps; runs no window.

        Args:
            preprocessed: The case on the model grid; its clicks are ignored.
            engine: The network.
            memory: The memory that the process may use.
            choose_kernels: Chooses the loops over voxels.
            persistence: Where logits and masks are stored for the next process; None to keep them in this process only.
            device: Where logits are blended; by default the device of the network.

        Raises:
            OutputError: The folder cannot be written to.
            MemoryLimitError: The labels on the model grid, which some models need, do not fit into memory.
        """
        spec, model_grid = preprocessed.case.package.spec, preprocessed.grid
        window, device = SlidingWindow(preprocessed.inputs, spec), device or array_device(engine.device)
        self.grid, self.windows_run, self.windows_reused = window.grid, 0, 0
        self._spec, self._model_grid, self._engine = spec, model_grid, engine
        self._memory, self._device = memory, device
        self._kernels = choose_kernels(window.addition_count) if device.is_host else NumpyKernels()
        with device.activate():
            self._assigners = make_assigners(model_grid, spec, self.grid.axis, self._kernels, device, memory)
        folder, digest = (persistence.folder, persistence.digest) if persistence else (None, b"")
        self._logits = make_logits_store(
            empty_keys(self.grid),
            (label_logit_channels(spec), *self.grid.roi),
            device=device,
            memory=memory,
            folder=folder / "logits" if folder else None,
            session_digest=digest,
        )
        self._masks = MaskStore(self.grid.shape, folder / "masks" if folder and spec.previous_mask else None, digest)
        without_clicks = replace(
            preprocessed.inputs, click_voxels=self._ball_voxels(()), masks=empty_masks(self.grid.shape, spec)
        )
        with device.activate():
            self._input = NetworkInput((), without_clicks.to_device(device), empty_keys(self.grid))
        self._unfinished: Box | None = None
        self._stitch = self._make_stitch_choice()

    @property
    def inputs(self) -> ModelInput:
        """The input of the network."""
        return self._input.inputs

    @property
    def labels(self) -> LabelMap:
        """The label map on the source grid [K, J, I]; the next update changes it in place."""
        return self._assigners[0].label_map()

    @property
    def on_grid(self) -> GridLabels:
        """The model grid, with the labels on it if the postprocessing needs them; the next update changes them."""
        needed = self._spec.postprocessing.grid == "model"
        return GridLabels(self._model_grid, self._assigners[1].label_map() if needed else None)

    @property
    def logits_storage(self) -> str:
        """Where logits are blended: ``gpu``, ``memory`` or ``disk``."""
        return self._stitch.storage

    @property
    def pending_bytes(self) -> int:
        """The memory that the stored logits will need in addition to what they use now."""
        return self._logits.pending_bytes

    def close(self) -> None:
        """Frees the logits that are stored for this process only."""
        self._logits.close()

    def is_current_for(self, points: ClickSequence) -> bool:
        """Whether the label map is complete and computed with these clicks."""
        return self._input.points == points and self._unfinished is None

    def set_initial_clicks(self, points: ClickSequence) -> None:
        """Sets the clicks before the first run, without running a window.

        Has no effect for a model with a previous mask, because this needs a run for each click.
        """
        if self._spec.previous_mask:
            return
        inputs = replace(self.inputs, click_voxels=self._ball_voxels(points))
        self._input = NetworkInput(points, inputs, {window.start: window_key(window, inputs) for window in self.grid})

    def run_all(self, points: ClickSequence, progress: Progress) -> None:
        """Computes the complete label map; reuses the logits of windows that were run with the same input.

        Args:
            points: The clicks, bound to the model's classes.
            progress: Called after each window.

        Raises:
            EngineError: The network fails.
        """
        if self._spec.previous_mask:  # its first update computes the complete label map
            self.update_clicks(points, progress)
            return
        if not self.is_current_for(points):
            self.update_clicks(points, progress)
        self.windows_run = self.windows_reused = 0
        self._update_boxes(self._input, [self._full_grid], progress)

    def update_clicks(self, points: ClickSequence, progress: Progress) -> Box | None:
        """Updates the label map to other clicks.

        After an error or interruption, ``is_current_for`` reports whether the old label map is unchanged; if not, an
        update to the old clicks restores it.

        Args:
            points: The clicks, bound to the model's classes.
            progress: Called after each window.

        Returns:
            The part of the source grid [K, J, I] that was recomputed; None if no window changed.

        Raises:
            EngineError: The network fails.
            OutputError: Logits or masks cannot be stored.
        """
        self.windows_run = self.windows_reused = 0
        updated: list[Box] = []
        masks, runs = self._plan_runs(points)
        for run_points in runs:
            target = self._make_input(run_points, masks)
            updated += self._update_boxes(target, self._changed_boxes(target), progress)
            masks = self._masks.last
        return bounding_box(updated) if updated else None

    @property
    def _full_grid(self) -> Box:
        """The complete model grid."""
        return full_box(self.grid.shape)

    def _plan_runs(self, points: ClickSequence) -> tuple[Masks, list[ClickSequence]]:
        """Returns the clicks of each run that is needed for an update, and the previous masks for the first run."""
        if not self._spec.previous_mask:
            return (), [points]
        for count in range(len(points), 0, -1):
            masks = self._masks.get(points[: count - 1], len(self._spec.previous_mask))
            if masks is not None:
                return masks, [points[:n] for n in range(count, len(points) + 1)]
        return empty_masks(self.grid.shape, self._spec), [points[:n] for n in range(len(points) + 1)]

    def _make_input(self, points: ClickSequence, masks: Masks) -> NetworkInput:
        inputs = replace(self.inputs, click_voxels=self._ball_voxels(points), masks=masks)
        keys = {window.start: window_key(window, inputs) for window in self._changed_windows(points, masks)}
        return NetworkInput(points, inputs, {**self._input.keys, **keys})

    def _changed_windows(self, points: ClickSequence, masks: Masks) -> list[Window]:
        """Returns the windows with an added or removed click, or with a changed mask voxel."""
        if self._spec.guidance is None:
            return []
        clicked = windows_with_changed_clicks(
            self._input.points, points, self.grid, self._model_grid.geometry, self._spec.guidance
        )
        masked = windows_with_changed_mask(self.inputs.masks, masks, self.grid)
        return [*clicked, *(window for window in masked if window not in clicked)]

    def _ball_voxels(self, points: ClickSequence) -> tuple[IndexArray, ...]:
        return rasterize(points, self._model_grid, self._spec)

    def _changed_boxes(self, target: NetworkInput) -> list[Box]:
        """Returns disjoint boxes around the windows with changed input, and around unfinished labels.

        There can be several, because two clicks can be far apart. A model with a previous mask has no mask before its
        first run, which therefore covers the complete grid.
        """
        if self._spec.previous_mask and not self._masks.last:
            return [self._full_grid]
        old_keys = self._input.keys
        changed = [window.volume_box for window in self.grid if target.keys[window.start] != old_keys[window.start]]
        return merge_intersecting([*changed, *([self._unfinished] if self._unfinished else [])])

    def _update_boxes(self, target: NetworkInput, boxes: Sequence[Box], progress: Progress) -> list[Box]:
        """Recomputes boxes of the model grid for an input; returns the recomputed boxes of the source grid."""
        updated: list[Box] = []
        for box in boxes:
            with self._device.activate():
                updated.append(self._update_box(target, box, progress))
        if self._spec.previous_mask:
            self._masks.put(target.points, mask_channels(self._assigners[1].label_map(), self._spec))
        self._input, self._unfinished = target, None
        return updated

    def _update_box(self, target: NetworkInput, box: Box, progress: Progress) -> Box:
        """Recomputes one box, or restores its labels if that fails; returns the box of the source grid."""
        self._logits.keys = target.keys
        window, self._stitch = SlidingWindow(target.inputs, self._spec, self._logits), self._make_stitch_choice()
        expanded = expand_box(box, self.grid.shape)  # a label between two voxels depends on both
        target_boxes = [assigner.begin_update(expanded, box) for assigner in self._assigners]
        labels = [
            assigner.label_map().array[target_box]
            for assigner, target_box in zip(self._assigners, target_boxes, strict=True)
        ]
        old_labels, old_unfinished = [view.copy() for view in labels], self._unfinished
        self._unfinished = bounding_box([box, old_unfinished] if old_unfinished else [box])
        try:
            for planes in window.blended_planes(self._engine, self._kernels, progress, self._stitch, expanded):
                for assigner in self._assigners:
                    assigner.update(planes)
        except BaseException:
            for view, old in zip(labels, old_labels, strict=True):
                view[...] = old
            self._unfinished = old_unfinished
            raise
        self.windows_run += window.windows_run
        self.windows_reused += window.windows_reused
        return target_boxes[0]

    def _make_stitch_choice(self) -> StitchingChoice:
        """Returns the choice of where logits are blended; reserves memory for the label maps and the stored logits."""
        needed_bytes = sum(assigner.bytes_needed for assigner in self._assigners)
        return StitchingChoice(self._memory, needed_bytes + self.pending_bytes, self._device)
