"""A label map that follows the clicks: only windows whose input changed run again, only what they reach is decided."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from clickseg.boxes import Box, around, grown, whole
from clickseg.case import Prepared
from clickseg.engines.engine import Engine
from clickseg.incremental.history import Points
from clickseg.incremental.window_inputs import key_of, keys_without_clicks, touched
from clickseg.incremental.window_logits import window_logits
from clickseg.inference import guidance
from clickseg.inference.decision import Decision, deciding_channels
from clickseg.inference.device import device_of
from clickseg.inference.kernel_choice import KernelChoice
from clickseg.inference.kernels import PlainKernels
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.inference.stitch_choice import StitchChoice
from clickseg.label_map import LabelMap
from clickseg.memory import Memory
from clickseg.progress import Progress


class Live:
    """What the network says of a case, for the clicks that there are now.

    Attributes:
        points: The clicks.
        ran: How many windows the last run ran.
        repeated: How many it did not run, since their input was constant and known.
    """

    def __init__(
        self,
        prepared: Prepared,
        engine: Engine,
        memory: Memory,
        choose_kernels: KernelChoice,
        *,
        folder: Path | None,
        session: bytes,
    ) -> None:
        """Lays the windows; nothing is run.

        Args:
            prepared: The case on the model grid, without clicks.
            engine: The network.
            memory: What the process may take.
            choose_kernels: The loops over voxels.
            folder: Where logits are left to the next process; None where none goes on with them.
            session: A digest of all that they depend on, but for the clicks.
        """
        case = prepared.case
        self._prepared, self._engine, self._memory = prepared, engine, memory
        self._spec = case.package.spec
        self._device = device_of(engine.device)
        source = case.reference.volume.get_geometry()
        with self._device.working():
            self._inputs = prepared.inputs.on(self._device)
            window = SlidingWindow(self._inputs, self._spec)
            self._grid = window.grid
            self._kernels = choose_kernels(window.additions) if self._device.is_host else PlainKernels()
            self._decision = Decision(
                prepared.geometry, source, self._spec, self._grid.axis, self._kernels, self._device
            )
        self._kept = window_logits(
            keys_without_clicks(self._grid),
            (deciding_channels(self._spec), *self._grid.roi),
            device=self._device,
            memory=memory,
            folder=folder,
            session=session,
        )
        self._stitch = self._stitch_choice()
        self.points: Points = ()
        self.ran = self.repeated = 0

    @property
    def windows(self) -> int:
        """How many windows there are."""
        return len(self._grid)

    @property
    def logits_at(self) -> str:
        """Where logits are blended: ``gpu``, ``memory`` or ``disk``."""
        return self._stitch.place

    @property
    def bytes_to_come(self) -> int:
        """How much more memory the logits that are kept will take."""
        return self._kept.bytes_to_come

    @property
    def labels(self) -> LabelMap:
        """The label map on the source grid; it changes with the next run."""
        return self._decision.label_map()

    def begin_with(self, points: Points) -> None:
        """Takes the clicks of a session that is gone on with; nothing is run."""
        if self._spec.guidance is None or not points:
            return
        drawn = guidance.balls(points, self._prepared.geometry, self._spec.guidance)
        self.points, self._inputs = points, replace(self._inputs, balls=drawn)
        self._kept.keys = {window.start: key_of(window, drawn) for window in self._grid}

    def close(self) -> None:
        """Removes what was kept for this process alone."""
        self._kept.close()

    def run_all(self, progress: Progress) -> None:
        """Decides all voxels; windows that were run with the same clicks before are not run again."""
        everything = whole(self._grid.shape)
        self._decide(everything, everything, progress)

    def move_to(self, points: Points, progress: Progress) -> Box | None:
        """Decides what other clicks change; where it fails or is interrupted, all is as it was.

        Args:
            points: The clicks, bound to the model's classes.
            progress: Told after each window.

        Returns:
            The part of the source grid [K, J, I] that was decided anew; None where no window changed.
        """
        spec, before = self._spec.guidance, (self.points, self._inputs, self._kept.keys)
        self.ran = self.repeated = 0
        if spec is None:
            return None
        windows = touched(self.points, points, self._grid, self._prepared.geometry, spec)
        drawn = guidance.balls(points, self._prepared.geometry, spec)
        keys = {window.start: key_of(window, drawn) for window in windows}
        changed = [window for window in windows if keys[window.start] != self._kept.keys[window.start]]
        self.points = points
        self._inputs = replace(self._inputs, balls=drawn)
        self._kept.keys = {**self._kept.keys, **keys}
        if not changed:
            return None
        reached = around([window.place for window in changed])
        try:
            return self._decide(grown(reached, self._grid.shape), reached, progress)
        except BaseException:
            self.points, self._inputs, self._kept.keys = before
            raise

    def _decide(self, box: Box, changed: Box, progress: Progress) -> Box:
        with self._device.working():
            return self._decided(box, changed, progress)

    def _decided(self, box: Box, changed: Box, progress: Progress) -> Box:
        window, self._stitch = SlidingWindow(self._inputs, self._spec, self._kept), self._stitch_choice()
        anew = self._decision.begin(box, changed)
        array = self._decision.label_map().array
        before = array[anew].copy()
        try:
            for planes in window.planes(self._engine, self._kernels, progress, self._stitch, box):
                self._decision.take(planes)
        except BaseException:
            array[anew] = before
            raise
        self.ran, self.repeated = window.ran, window.repeated
        return anew

    def _stitch_choice(self) -> StitchChoice:
        """Returns what chooses where logits are blended: beside the label map and the logits yet to be kept."""
        return StitchChoice(self._memory, self._decision.bytes_needed + self.bytes_to_come, self._device)
