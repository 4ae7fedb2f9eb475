"""Chooses where window logits are blended: on the GPU, in memory, or on disk if a slab does not fit into memory."""

from __future__ import annotations

from clickseg.core.arrays import Float32Array
from clickseg.core.device import HOST, Device
from clickseg.core.memory import Memory
from clickseg.inference.kernels import Kernels
from clickseg.inference.stitching import MAX_BLOCK_PLANES, DiskStitching, SlabStitching, Stitching
from clickseg.inference.windows import WindowGrid


class StitchingChoice:
    """Chooses by the memory that is free after the network has run its first window.

    Attributes:
        storage: The last choice: ``gpu``, ``memory`` or ``disk``.
    """

    def __init__(self, memory: Memory, reserved_bytes: int, device: Device = HOST) -> None:
        """Sets the memory limits.

        Args:
            memory: The memory that the run may use.
            reserved_bytes: Memory that must stay free for other arrays.
            device: The device of the logits.
        """
        self._memory = memory
        self._reserved = reserved_bytes
        self._device = device
        self.storage = "memory" if device.is_host else "gpu"

    def check(self, grid: WindowGrid, channels: int) -> None:
        """Checks, before any window is run, that at least one plane at a time can be blended.

        Raises:
            MemoryLimitError: Not even one plane fits into memory.
        """
        if self._device.is_host:
            purpose = f"{channels} channels of {' x '.join(str(count) for count in grid.shape)} voxels"
            self._memory.check_available(DiskStitching.bytes_needed(grid, channels, 1) + self._reserved, purpose)

    def __call__(self, grid: WindowGrid, weights: Float32Array, channels: int, kernels: Kernels) -> Stitching:
        """Returns the stitching for the windows of a grid; the blended logits have the same bytes with all choices.

        Raises:
            MemoryLimitError: Not even one plane fits into memory.
            OutputError: A slab does not fit into memory, and the folder on disk is not writable.
        """
        if not self._device.is_host:
            return SlabStitching(grid, weights, channels, kernels, self._device)
        free_bytes = self._memory.free_bytes() - self._reserved
        if SlabStitching.bytes_needed(grid, channels) <= free_bytes:
            return SlabStitching(grid, weights, channels, kernels)
        self.storage = "disk"
        self.check(grid, channels)
        counts = range(min(MAX_BLOCK_PLANES, grid.thickness), 0, -1)
        planes = next((n for n in counts if DiskStitching.bytes_needed(grid, channels, n) <= free_bytes), 1)
        return DiskStitching(grid, weights, channels, kernels, folder=self._memory.spool_folder, planes=planes)
