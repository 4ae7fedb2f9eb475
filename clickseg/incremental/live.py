"""A label map that follows the clicks: only windows whose input changed run again, only what they reach is decided."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from clickseg.arrays import Indices
from clickseg.boxes import Box, apart, around, grown
from clickseg.case import Prepared
from clickseg.engines.engine import Engine
from clickseg.incremental.history import Points
from clickseg.incremental.masks import KeptMasks, Masks, empty, shown_in
from clickseg.incremental.redecided import Redecided
from clickseg.incremental.window_inputs import Given, key_of, keys_of_nothing, masked_anew, touched
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
    Before a part is decided anew it is in doubt, and in doubt it stays until all of it is decided, or is what it was:
    whatever is interrupted, the next run decides it.
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
            self._given = Given((), nothing.on(device), keys_of_nothing(self._said.grid))
        self._in_doubt: Box | None = None
        self._is_begun = False

    @property
    def inputs(self) -> ModelInput:
        """What the network is given."""
        return self._given.inputs

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

    def is_at(self, points: Points) -> bool:
        """Whether all that was decided is of some clicks."""
        return self._given.points == points and self._in_doubt is None

    def begin_with(self, points: Points) -> None:
        """Takes clicks without running anything, unless what the network is given depends on what it says of them."""
        if self._spec.previous_mask:
            return
        inputs = replace(self.inputs, balls=self._balls(points))
        self._given = Given(points, inputs, {window.start: key_of(window, inputs) for window in self._said.grid})

    def run_all(self, points: Points, progress: Progress) -> None:
        """Decides all voxels for some clicks; windows that were run with the same input before are not run again."""
        if self._spec.previous_mask or not self.is_at(points):
            self.move_to(points, progress)
        if not self._spec.previous_mask:  # else it is decided: each click counts from what is said of all
            self._said.ran = self._said.repeated = 0
            everything = self._said.everything
            self._said.decide(self._given, everything, everything, progress)

    def move_to(self, points: Points, progress: Progress) -> Box | None:
        """Decides what other clicks change.

        Where it fails or is interrupted, ``is_at`` says whether all is as it was; if not, moving back makes it so.

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
            anew += self._move(self._given_with(each, masks), progress)
            masks = self._masks.last
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

    def _given_with(self, points: Points, masks: Masks) -> Given:
        inputs = replace(self.inputs, balls=self._balls(points), masks=masks)
        keys = {window.start: key_of(window, inputs) for window in self._touched(points, masks)}
        return Given(points, inputs, {**self._given.keys, **keys})

    def _touched(self, points: Points, masks: Masks) -> list[Window]:
        """Returns the windows that clicks which came or went touch, or in which masks differ."""
        if self._spec.guidance is None:
            return []
        clicked = touched(self._given.points, points, self._said.grid, self._geometry, self._spec.guidance)
        masked = masked_anew(self.inputs.masks, masks, self._said.grid)
        return [*clicked, *(window for window in masked if window not in clicked)]

    def _balls(self, points: Points) -> tuple[Indices, ...]:
        return guidance.balls(points, self._geometry, self._spec.guidance) if self._spec.guidance else ()

    def _move(self, given: Given, progress: Progress) -> list[Box]:
        """Returns the parts of the source grid that were decided anew."""
        parts, doubted = self._changed(given), self._in_doubt
        anew: list[Box] = []
        self._in_doubt = around(parts) if parts else None
        try:
            for part in parts:
                anew += [self._said.decide(given, grown(part, self._shape), part, progress)]
            self._keep_masks(given.points)
        except BaseException:
            if not anew and self._said.is_restored:
                self._in_doubt = doubted
            raise
        self._given, self._in_doubt, self._is_begun = given, None, True
        return anew

    def _changed(self, given: Given) -> list[Box]:
        """Returns the parts whose windows are given something else, or that are in doubt: two clicks lie far apart.

        A model that is given its own result has none at first: then it is all.
        """
        if self._spec.previous_mask and not self._is_begun:
            return [self._said.everything]
        before = self._given.keys
        changed = [window.place for window in self._said.grid if given.keys[window.start] != before[window.start]]
        return apart([*changed, *([self._in_doubt] if self._in_doubt else [])])

    def _keep_masks(self, points: Points) -> None:
        if self._spec.previous_mask:
            self._masks.put(points, shown_in(self._said.on_model_grid, self._spec))
