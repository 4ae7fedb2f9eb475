"""A label map that follows the clicks: only windows whose input changed run again, only what they reach is decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from clickseg.arrays import Indices
from clickseg.boxes import Box, around, grown
from clickseg.case import Prepared
from clickseg.engines.engine import Engine
from clickseg.incremental.history import Points
from clickseg.incremental.masks import KeptMasks, Masks, empty, shown_in
from clickseg.incremental.redecided import Redecided
from clickseg.incremental.window_inputs import key_of, masked_anew, touched
from clickseg.inference import guidance
from clickseg.inference.device import Device, device_of
from clickseg.inference.kernel_choice import KernelChoice
from clickseg.inference.model_input import ModelInput
from clickseg.inference.windows import Window
from clickseg.label_map import LabelMap
from clickseg.memory import Memory
from clickseg.progress import Progress


class Live:
    """What the network says of a case, for the clicks that there are now.

    A model that is given its own result is run for the clicks one by one, since each run depends on the one before.

    Attributes:
        points: The clicks.
        inputs: What the network is given.
    """

    def __init__(
        self,
        prepared: Prepared,
        engine: Engine,
        memory: Memory,
        choose_kernels: KernelChoice,
        *,
        folder: Path | None = None,
        session: bytes = b"",
        device: Device | None = None,
    ) -> None:
        """Lays the windows; nothing is run.

        Args:
            prepared: The case on the model grid; its clicks do not matter.
            engine: The network.
            memory: What the process may take.
            choose_kernels: The loops over voxels.
            folder: Where logits and masks are left to the next process; None where none goes on with them.
            session: A digest of all that they depend on, but for the clicks.
            device: Where logits are blended; by default where the network runs.
        """
        self._spec, self._geometry = prepared.case.package.spec, prepared.geometry
        device = device or device_of(engine.device)
        logits, masks = (folder / "logits", folder / "masks") if folder else (None, None)
        self._said = Redecided(prepared, engine, memory, choose_kernels, device, folder=logits, session=session)
        self._masks = KeptMasks(self._shape, masks if self._spec.previous_mask else None, session)
        nothing = replace(prepared.inputs, balls=self._balls(()), masks=empty(self._shape, self._spec))
        with device.working():
            self.inputs = nothing.on(device)
        self.points: Points = ()
        self._is_whole = False

    @property
    def windows(self) -> int:
        """How many windows there are."""
        return len(self._said.grid)

    @property
    def ran(self) -> int:
        """How many windows the last change ran."""
        return self._said.ran

    @property
    def repeated(self) -> int:
        """How many windows the last change did not run, since their input was constant and known."""
        return self._said.repeated

    @property
    def logits_at(self) -> str:
        """Where logits are blended: ``gpu``, ``memory`` or ``disk``."""
        return self._said.logits_at

    @property
    def bytes_to_come(self) -> int:
        """How much more memory the logits that are kept will take."""
        return self._said.bytes_to_come

    @property
    def labels(self) -> LabelMap:
        """The label map on the source grid; it changes with the next run."""
        return self._said.on_source_grid

    def close(self) -> None:
        """Removes what was kept for this process alone."""
        self._said.close()

    def begin_with(self, points: Points) -> None:
        """Takes clicks without running anything, unless what the network is given depends on what it says of them."""
        if self._spec.previous_mask:
            return
        self.points, self.inputs = points, replace(self.inputs, balls=self._balls(points))
        self._said.keys = {window.start: key_of(window, self.inputs) for window in self._said.grid}

    def run_all(self, points: Points, progress: Progress) -> None:
        """Decides all voxels for some clicks; windows that were run with the same input before are not run again."""
        if self._spec.previous_mask:
            self.move_to(points, progress)
            return
        if self.points != points:
            self.begin_with(points)
        self._said.ran = self._said.repeated = 0
        self._decide_all(progress)

    def move_to(self, points: Points, progress: Progress) -> Box | None:
        """Decides what other clicks change.

        Where it fails or is interrupted, all is as it was or, for a model that is given its own result, as it is after
        some of the clicks.

        Args:
            points: The clicks, bound to the model's classes.
            progress: Told after each window.

        Returns:
            The part of the source grid [K, J, I] that was decided anew; None where no window changed.
        """
        self._said.ran = self._said.repeated = 0
        anew: list[Box] = []
        masks, way = self._way_to(points)
        for each in way:
            box = self._move(each, masks, progress)
            anew += [] if box is None else [box]
            masks = self._shown_masks()
        return around(anew) if anew else None

    @property
    def _shape(self) -> tuple[int, int, int]:
        return self._said.grid.shape

    def _way_to(self, points: Points) -> tuple[Masks, list[Points]]:
        """Returns what is to be run one after another, and the masks that the first run is given."""
        if not self._spec.previous_mask:
            return (), [points]
        for count in range(len(points), 0, -1):
            masks = self._masks.get(points[: count - 1], len(self._spec.previous_mask))
            if masks is not None:
                return masks, [points[:n] for n in range(count, len(points) + 1)]
        return empty(self._shape, self._spec), [points[:n] for n in range(len(points) + 1)]

    def _move(self, points: Points, masks: Masks, progress: Progress) -> Box | None:
        before = self.points, self.inputs, self._said.keys
        inputs = replace(self.inputs, balls=self._balls(points), masks=masks)
        windows = self._touched(points, inputs)
        keys = {window.start: key_of(window, inputs) for window in windows}
        changed = [window.place for window in windows if keys[window.start] != self._said.keys[window.start]]
        self.points, self.inputs, self._said.keys = points, inputs, {**self._said.keys, **keys}
        try:
            return self._decide_changed(changed, progress)
        except BaseException:
            self.points, self.inputs, self._said.keys = before
            raise

    def _touched(self, points: Points, inputs: ModelInput) -> list[Window]:
        """Returns the windows that clicks which came or went touch, or in which masks differ."""
        if self._spec.guidance is None:
            return []
        clicked = touched(self.points, points, self._said.grid, self._geometry, self._spec.guidance)
        masked = masked_anew(self.inputs.masks, inputs.masks, self._said.grid)
        return [*clicked, *(window for window in masked if window not in clicked)]

    def _balls(self, points: Points) -> tuple[Indices, ...]:
        return guidance.balls(points, self._geometry, self._spec.guidance) if self._spec.guidance else ()

    def _decide_changed(self, changed: Sequence[Box], progress: Progress) -> Box | None:
        """Decides what some windows reach; all, where a model is given its own result and has none yet."""
        if self._spec.previous_mask and not self._is_whole:
            return self._decide_all(progress)
        if not changed:
            self._keep_masks()
            return None
        reached = around(changed)
        return self._said.decide(self.inputs, grown(reached, self._shape), reached, progress, self._keep_masks)

    def _decide_all(self, progress: Progress) -> Box:
        everything = self._said.everything
        decided = self._said.decide(self.inputs, everything, everything, progress, self._keep_masks)
        self._is_whole = True
        return decided

    def _keep_masks(self) -> None:
        if self._spec.previous_mask:
            self._masks.put(self.points, self._shown_masks())

    def _shown_masks(self) -> Masks:
        return shown_in(self._said.on_model_grid, self._spec) if self._spec.previous_mask else ()
