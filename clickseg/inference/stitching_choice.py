"""Where window logits are blended: on the GPU, in memory, or on disk where a slab of them would not fit."""

from __future__ import annotations

from clickseg.core.arrays import Values
from clickseg.core.device import HOST, Device
from clickseg.core.memory import Memory
from clickseg.inference.kernels import Kernels
from clickseg.inference.stitching import MAX_BLOCK_PLANES, Slab, Spool, Stitching
from clickseg.inference.windows import WindowGrid


class StitchChoice:
    """Chooses by the memory that is left when the network has run its first window.

    Attributes:
        place: What was chosen last: ``gpu``, ``memory`` or ``disk``.
    """

    def __init__(self, memory: Memory, reserved_bytes: int, device: Device = HOST) -> None:
        """Takes what is known before.

        Args:
            memory: What the run may take.
            reserved_bytes: What will be taken besides.
            device: Where the logits are.
        """
        self._memory = memory
        self._reserved = reserved_bytes
        self._device = device
        self.place = "memory" if device.is_host else "gpu"

    def check(self, grid: WindowGrid, channels: int) -> None:
        """Refuses, before any window is run, what cannot even be blended a plane at a time.

        Raises:
            MemoryLimitError: Not even one plane fits.
        """
        if self._device.is_host:
            what = f"{channels} channels of {' x '.join(str(count) for count in grid.shape)} voxels"
            self._memory.check(Spool.bytes_needed(grid, channels, 1) + self._reserved, what)

    def __call__(self, grid: WindowGrid, weight: Values, channels: int, kernels: Kernels) -> Stitching:
        """Returns what blends the windows of a grid; the result has the same bytes with any.

        Raises:
            MemoryLimitError: Not even one plane fits.
            OutputError: A slab does not fit, and nothing can be written to the disk.
        """
        if not self._device.is_host:
            return Slab(grid, weight, channels, kernels, self._device)
        left = self._memory.left() - self._reserved
        if Slab.bytes_needed(grid, channels) <= left:
            return Slab(grid, weight, channels, kernels)
        self.place = "disk"
        self.check(grid, channels)
        most = min(MAX_BLOCK_PLANES, grid.thickness)
        planes = next((n for n in range(most, 0, -1) if Spool.bytes_needed(grid, channels, n) <= left), 1)
        return Spool(grid, weight, channels, kernels, folder=self._memory.spool, planes=planes)
