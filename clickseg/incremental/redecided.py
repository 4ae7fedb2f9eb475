"""Label maps of a case of which parts are decided anew, from logits that are kept and those of windows that are run."""

from __future__ import annotations

from pathlib import Path

from clickseg.boxes import Box, whole
from clickseg.case import Prepared
from clickseg.engines.engine import Engine
from clickseg.incremental.window_inputs import Given, keys_of_nothing
from clickseg.incremental.window_logits import window_logits
from clickseg.inference.decision import Decision, deciding_channels
from clickseg.inference.device import Device
from clickseg.inference.kernel_choice import KernelChoice
from clickseg.inference.kernels import PlainKernels
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.inference.stitch_choice import StitchChoice
from clickseg.label_map import LabelMap
from clickseg.memory import Memory
from clickseg.progress import Progress


class Redecided:
    """The label map on the source grid and, for models that are given their own result, that on the model grid.

    Attributes:
        grid: The windows.
        ran: How many windows were run.
        repeated: How many were not, since their input was constant and known.
        is_restored: Whether the label maps are as they were before the last time that deciding failed.
    """

    def __init__(
        self,
        prepared: Prepared,
        engine: Engine,
        memory: Memory,
        choose_kernels: KernelChoice,
        device: Device,
        *,
        folder: Path | None,
        session: bytes,
    ) -> None:
        """Decides nothing yet.

        Args:
            prepared: The case on the model grid.
            engine: The network.
            memory: What the process may take.
            choose_kernels: The loops over voxels.
            device: Where logits are blended.
            folder: Where logits are left to the next process; None where none goes on with them.
            session: A digest of all that they depend on, but for what windows are given.
        """
        self._spec = spec = prepared.case.package.spec
        self._engine, self._memory, self._device = engine, memory, device
        model, source = prepared.geometry, prepared.case.reference.volume.get_geometry()
        window = SlidingWindow(prepared.inputs, spec)
        self.grid = window.grid
        self._kernels = choose_kernels(window.additions) if device.is_host else PlainKernels()
        with device.working():
            self._decisions = [
                Decision(model, grid, spec, self.grid.axis, self._kernels, device)
                for grid in (source, *([model] if spec.previous_mask else []))
            ]
        self._kept = window_logits(
            keys_of_nothing(self.grid),
            (deciding_channels(spec), *self.grid.roi),
            device=device,
            memory=memory,
            folder=folder,
            session=session,
        )
        self._stitch = self._stitch_choice()
        self.ran = self.repeated = 0
        self.is_restored = False

    @property
    def logits_at(self) -> str:
        """Where logits are blended: ``gpu``, ``memory`` or ``disk``."""
        return self._stitch.place

    @property
    def bytes_to_come(self) -> int:
        """How much more memory the logits that are kept will take."""
        return self._kept.bytes_to_come

    @property
    def on_source_grid(self) -> LabelMap:
        """The label map on the source grid [K, J, I]."""
        return self._decisions[0].label_map()

    @property
    def on_model_grid(self) -> LabelMap:
        """The label map on the model grid [I, J, K], where the model is given its own result."""
        return self._decisions[1].label_map()

    @property
    def everything(self) -> Box:
        """The model grid."""
        return whole(self.grid.shape)

    def close(self) -> None:
        """Removes what was kept for this process alone."""
        self._kept.close()

    def decide(self, given: Given, box: Box, changed: Box, progress: Progress) -> Box:
        """Decides a part anew; where that fails or is interrupted, ``is_restored`` says whether all is as it was.

        Args:
            given: What the network is given.
            box: The part of the model grid that is blended: ``changed`` and the voxels beside it.
            changed: The part whose logits are others than before.
            progress: Told after each window.

        Returns:
            The part of the source grid [K, J, I] that was decided anew.
        """
        with self._device.working():
            return self._decided(given, box, changed, progress)

    def _decided(self, given: Given, box: Box, changed: Box, progress: Progress) -> Box:
        self._kept.keys = given.keys
        window, self._stitch = SlidingWindow(given.inputs, self._spec, self._kept), self._stitch_choice()
        anew = [each.begin(box, changed) for each in self._decisions]
        parts = [each.label_map().array[part] for each, part in zip(self._decisions, anew, strict=True)]
        before = [part.copy() for part in parts]
        self.is_restored = False
        try:
            for planes in window.planes(self._engine, self._kernels, progress, self._stitch, box):
                for decision in self._decisions:
                    decision.take(planes)
        except BaseException:
            for part, had in zip(parts, before, strict=True):
                part[...] = had
            self.is_restored = True
            raise
        self.ran += window.ran
        self.repeated += window.repeated
        return anew[0]

    def _stitch_choice(self) -> StitchChoice:
        """Returns what chooses where logits are blended: beside the label maps and the logits yet to be kept."""
        needed = sum(each.bytes_needed for each in self._decisions)
        return StitchChoice(self._memory, needed + self.bytes_to_come, self._device)
