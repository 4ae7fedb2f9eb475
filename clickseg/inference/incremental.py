"""Incremental inference: runs only windows whose input changed, and decides only the voxels that they reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clickseg.clicks.click import Points
from clickseg.core.arrays import Box, Indices, apart, around, grown, whole
from clickseg.core.device import Device, device_of
from clickseg.core.label_map import LabelMap
from clickseg.core.memory import Memory
from clickseg.core.progress import Progress
from clickseg.inference import guidance
from clickseg.inference.case import Prepared
from clickseg.inference.decision import Decision, deciding_channels
from clickseg.inference.engines.engine import Engine
from clickseg.inference.incremental_inputs import (
    KeptMasks,
    Masks,
    NetworkInput,
    empty_keys,
    empty_masks,
    key_of,
    masks_of,
    windows_with_changed_clicks,
    windows_with_changed_mask,
)
from clickseg.inference.incremental_logits import window_logits
from clickseg.inference.kernels import KernelChoice, PlainKernels
from clickseg.inference.model_input import ModelInput
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.inference.stitching_choice import StitchChoice
from clickseg.inference.windows import Window


@dataclass(frozen=True, slots=True)
class Persistence:
    """Where an inference leaves logits and masks for the next process.

    Attributes:
        folder: The folder for both.
        digest: SHA-256 over everything that they depend on, except the clicks.
    """

    folder: Path
    digest: bytes


class IncrementalInference:
    """The label map of a case, for clicks that change.

    A model with a previous mask is run click by click, because each run depends on the result of the one before.

    The label maps belong to ``_input``, except inside the box ``_in_doubt`` of the model grid. A part enters this box
    before it is decided, and leaves it when ``_input`` is the new one or its old labels are restored. So wherever a
    move fails or is interrupted, the next one decides again what it left.

    Attributes:
        grid: The windows.
        ran: How many windows the last move ran.
        repeated: How many windows of constant input the last move took from one that had been run.
    """

    def __init__(
        self,
        prepared: Prepared,
        engine: Engine,
        memory: Memory,
        choose_kernels: KernelChoice,
        *,
        persistence: Persistence | None = None,
        device: Device | None = None,
    ) -> None:
        """Allocates the label maps; runs nothing.

        Args:
            prepared: The case on the model grid; its clicks are ignored.
            engine: The network.
            memory: What the process may take.
            choose_kernels: The loops over voxels.
            persistence: Where logits and masks outlive the process; None to keep them in the process only.
            device: Where logits are blended; by default where the network runs.

        Raises:
            OutputError: The folder cannot be written to.
        """
        spec, model = prepared.case.package.spec, prepared.geometry
        window, device = SlidingWindow(prepared.inputs, spec), device or device_of(engine.device)
        self.grid, self.ran, self.repeated = window.grid, 0, 0
        self._spec, self._geometry, self._engine = spec, model, engine
        self._memory, self._device = memory, device
        self._kernels = choose_kernels(window.additions) if device.is_host else PlainKernels()
        grids = [prepared.case.reference.volume.get_geometry(), *([model] if spec.previous_mask else [])]
        with device.working():
            self._decisions = [Decision(model, each, spec, self.grid.axis, self._kernels, device) for each in grids]
        folder, digest = (persistence.folder, persistence.digest) if persistence else (None, b"")
        self._logits = window_logits(
            empty_keys(self.grid),
            (deciding_channels(spec), *self.grid.roi),
            device=device,
            memory=memory,
            folder=folder / "logits" if folder else None,
            session=digest,
        )
        self._masks = KeptMasks(
            self.grid.shape, folder / "masks" if folder and spec.previous_mask else None, session=digest
        )
        without_clicks = replace(prepared.inputs, balls=self._balls(()), masks=empty_masks(self.grid.shape, spec))
        with device.working():
            self._input = NetworkInput((), without_clicks.on(device), empty_keys(self.grid))
        self._in_doubt: Box | None = None
        self._stitch = self._choose_stitching()

    @property
    def inputs(self) -> ModelInput:
        """The input of the network."""
        return self._input.inputs

    @property
    def labels(self) -> LabelMap:
        """The label map on the source grid [K, J, I]; the next move changes it."""
        return self._decisions[0].label_map()

    @property
    def logits_at(self) -> str:
        """Where logits are blended: ``gpu``, ``memory`` or ``disk``."""
        return self._stitch.place

    @property
    def bytes_to_come(self) -> int:
        """How much more memory the kept logits will take."""
        return self._logits.bytes_to_come

    def close(self) -> None:
        """Frees the logits that were kept for this process only."""
        self._logits.close()

    def is_at(self, points: Points) -> bool:
        """Whether all that was decided is of some clicks."""
        return self._input.points == points and self._in_doubt is None

    def begin_with(self, points: Points) -> None:
        """Takes clicks without running anything; a model with a previous mask needs runs for them, and takes none."""
        if self._spec.previous_mask:
            return
        inputs = replace(self.inputs, balls=self._balls(points))
        self._input = NetworkInput(points, inputs, {window.start: key_of(window, inputs) for window in self.grid})

    def run_all(self, points: Points, progress: Progress) -> None:
        """Decides all voxels for some clicks; windows that were run with the same input are not run again.

        Args:
            points: The clicks, bound to the model's classes.
            progress: Told after each window.

        Raises:
            EngineError: The network fails.
        """
        if self._spec.previous_mask:  # whose first move is over everything
            self.move_to(points, progress)
            return
        if not self.is_at(points):
            self.move_to(points, progress)
        self.ran = self.repeated = 0
        self._move(self._input, [self._everything], progress)

    def move_to(self, points: Points, progress: Progress) -> Box | None:
        """Decides what other clicks change.

        After an error or interruption ``is_at`` tells whether everything is as it was; if not, moving back makes it so.

        Args:
            points: The clicks, bound to the model's classes.
            progress: Told after each window.

        Returns:
            The part of the source grid [K, J, I] that was decided; None where no window changed.

        Raises:
            EngineError: The network fails.
            OutputError: Logits or masks cannot be kept.
        """
        self.ran = self.repeated = 0
        decided: list[Box] = []
        masks, runs = self._runs_to(points)
        for each in runs:
            target = self._input_of(each, masks)
            decided += self._move(target, self._changed_parts(target), progress)
            masks = self._masks.last
        return around(decided) if decided else None

    @property
    def _everything(self) -> Box:
        """The model grid."""
        return whole(self.grid.shape)

    def _runs_to(self, points: Points) -> tuple[Masks, list[Points]]:
        """Returns the clicks of each run that leads to some clicks, and the masks for the first of these runs."""
        if not self._spec.previous_mask:
            return (), [points]
        for count in range(len(points), 0, -1):
            masks = self._masks.get(points[: count - 1], len(self._spec.previous_mask))
            if masks is not None:
                return masks, [points[:n] for n in range(count, len(points) + 1)]
        return empty_masks(self.grid.shape, self._spec), [points[:n] for n in range(len(points) + 1)]

    def _input_of(self, points: Points, masks: Masks) -> NetworkInput:
        inputs = replace(self.inputs, balls=self._balls(points), masks=masks)
        keys = {window.start: key_of(window, inputs) for window in self._changed_windows(points, masks)}
        return NetworkInput(points, inputs, {**self._input.keys, **keys})

    def _changed_windows(self, points: Points, masks: Masks) -> list[Window]:
        """Returns the windows that hold a click that came or went, or a voxel of a mask that changed."""
        if self._spec.guidance is None:
            return []
        clicked = windows_with_changed_clicks(
            self._input.points, points, self.grid, self._geometry, self._spec.guidance
        )
        masked = windows_with_changed_mask(self.inputs.masks, masks, self.grid)
        return [*clicked, *(window for window in masked if window not in clicked)]

    def _balls(self, points: Points) -> tuple[Indices, ...]:
        return guidance.balls(points, self._geometry, self._spec.guidance) if self._spec.guidance else ()

    def _changed_parts(self, target: NetworkInput) -> list[Box]:
        """Returns separate boxes around the windows with another input, and what is in doubt.

        They are separate because two clicks can lie far apart. A model with a previous mask begins with everything: it
        has no mask before its first run is over.
        """
        if self._spec.previous_mask and not self._masks.last:
            return [self._everything]
        before = self._input.keys
        changed = [window.place for window in self.grid if target.keys[window.start] != before[window.start]]
        return apart([*changed, *([self._in_doubt] if self._in_doubt else [])])

    def _move(self, target: NetworkInput, parts: Sequence[Box], progress: Progress) -> list[Box]:
        """Decides parts of the model grid for an input; returns the parts of the source grid that were decided."""
        decided: list[Box] = []
        for part in parts:
            with self._device.working():
                decided.append(self._decide(target, part, progress))
        if self._spec.previous_mask:
            self._masks.put(target.points, masks_of(self._decisions[1].label_map(), self._spec))
        self._input, self._in_doubt = target, None
        return decided

    def _decide(self, target: NetworkInput, part: Box, progress: Progress) -> Box:
        """Decides one part, or restores its labels where that fails; returns the part of the source grid."""
        self._logits.keys = target.keys
        window, self._stitch = SlidingWindow(target.inputs, self._spec, self._logits), self._choose_stitching()
        box = grown(part, self.grid.shape)  # labels between two voxels depend on both
        reached = [each.begin(box, part) for each in self._decisions]
        labels = [each.label_map().array[place] for each, place in zip(self._decisions, reached, strict=True)]
        before, in_doubt = [each.copy() for each in labels], self._in_doubt
        self._in_doubt = around([part, in_doubt] if in_doubt else [part])
        try:
            for planes in window.planes(self._engine, self._kernels, progress, self._stitch, box):
                for decision in self._decisions:
                    decision.take(planes)
        except BaseException:
            for now, had in zip(labels, before, strict=True):
                now[...] = had
            self._in_doubt = in_doubt
            raise
        self.ran += window.ran
        self.repeated += window.repeated
        return reached[0]

    def _choose_stitching(self) -> StitchChoice:
        """Returns what chooses where logits are blended, with room left for the label maps and the logits to come."""
        needed = sum(each.bytes_needed for each in self._decisions)
        return StitchChoice(self._memory, needed + self.bytes_to_come, self._device)
