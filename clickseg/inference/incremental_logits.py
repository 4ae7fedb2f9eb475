"""Stores the logits of windows by the input that they were computed from: in memory, on disk, or not at all."""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from clickseg.core.arrays import Float32Array, Triple
from clickseg.core.checksum_folder import CHECKSUM_BYTES, ChecksumFolder
from clickseg.core.device import Device
from clickseg.core.memory import Memory
from clickseg.core.scratch import ScratchFile
from clickseg.inference.incremental_inputs import WindowKeys
from clickseg.inference.sliding_window import NullStore
from clickseg.inference.windows import Window

FLOAT_BYTES = 4
_MAX_VERSIONS = 2
"""The number of versions of a window that are stored, so that undoing the last step runs no window."""

_NOT_USED = -1

T = TypeVar("T")


class _Versions(Generic[T]):
    """The most recently used versions of each window; a version belongs to one input of the window."""

    def __init__(self) -> None:
        self._by_window: dict[Triple, dict[bytes, T]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_window.values()))

    def has(self, start: Triple, key: bytes) -> bool:
        """Whether the version with a key is stored."""
        return key in self._by_window.get(start, {})

    def get(self, start: Triple, key: bytes) -> T | None:
        """Returns the version with a key, and makes it the most recently used; None if it is not stored."""
        versions = self._by_window.get(start, {})
        if key in versions:
            versions[key] = versions.pop(key)
        return versions.get(key)

    def put(self, start: Triple, key: bytes, version: T) -> None:
        """Stores a version."""
        self._by_window.setdefault(start, {})[key] = version

    def evict_oldest(self, start: Triple) -> T | None:
        """Removes and returns the least recently used version if the maximum number is stored; else returns None."""
        versions = self._by_window.get(start, {})
        return versions.pop(next(iter(versions))) if len(versions) >= _MAX_VERSIONS else None


class MemoryStore:
    """Stores logits in memory.

    Attributes:
        keys: The key of the current input of each window.
    """

    def __init__(self, keys: WindowKeys, shape: Sequence[int]) -> None:
        """Creates an empty store.

        Args:
            keys: The key of the input of each window.
            shape: The shape of the logits of a window [C, I, J, K].
        """
        self.keys = keys
        self._window_bytes = math.prod(shape) * FLOAT_BYTES
        self._logits: _Versions[Float32Array] = _Versions()

    @property
    def pending_bytes(self) -> int:
        """The memory that the logits will need in addition to what they use now."""
        return (_MAX_VERSIONS * len(self.keys) - len(self._logits)) * self._window_bytes

    def has(self, window: Window) -> bool:
        """Whether the logits of a window are stored for its current input."""
        return self._logits.has(window.start, self.keys[window.start])

    def get(self, window: Window) -> Float32Array | None:
        """Returns the logits of a window; None if they are not stored."""
        return self._logits.get(window.start, self.keys[window.start])

    def put(self, window: Window, logits: Float32Array) -> None:
        """Stores a copy of the logits of a window."""
        self._logits.evict_oldest(window.start)
        self._logits.put(window.start, self.keys[window.start], logits.copy())

    def close(self) -> None:
        """Frees the logits."""
        self._logits = _Versions()


class ScratchStore:
    """Stores logits in an unnamed temporary file, for this process only.

    Attributes:
        keys: The key of the current input of each window.
    """

    pending_bytes = 0

    def __init__(self, keys: WindowKeys, folder: Path, shape: Sequence[int]) -> None:
        """Opens the file.

        Args:
            keys: The key of the input of each window.
            folder: A folder on the disk to use.
            shape: The shape of the logits of a window [C, I, J, K].

        Raises:
            OutputError: The folder cannot be written to.
        """
        self.keys = keys
        self._shape = tuple(shape)
        self._scratch = ScratchFile(folder)
        self._offsets: _Versions[int] = _Versions()

    def has(self, window: Window) -> bool:
        """Whether the logits of a window are stored for its current input."""
        return self._offsets.has(window.start, self.keys[window.start])

    def get(self, window: Window) -> Float32Array | None:
        """Returns the logits of a window; None if they are not stored.

        Raises:
            OutputError: The file cannot be read.
        """
        offset = self._offsets.get(window.start, self.keys[window.start])
        if offset is None:
            return None
        logits = np.empty(self._shape, np.float32)
        self._scratch.read_into(logits, offset)
        return logits

    def put(self, window: Window, logits: Float32Array) -> None:
        """Stores the logits of a window.

        Raises:
            OutputError: The disk is full.
        """
        reused_offset = self._offsets.evict_oldest(window.start)
        offset = self._scratch.size_bytes if reused_offset is None else reused_offset
        self._scratch.write(logits, offset)
        self._offsets.put(window.start, self.keys[window.start], offset)

    def close(self) -> None:
        """Frees the disk space."""
        self._scratch.close()


class DiskStore:
    """Stores logits in permanent files, one for each version of a window, which are memory-mapped to read them.

    The SHA-256 of a file is checked before its first use. If a file is damaged or belongs to another session, its
    window is run again.

    Attributes:
        keys: The key of the current input of each window.
    """

    pending_bytes = 0

    def __init__(self, keys: WindowKeys, folder: Path, shape: Sequence[int], session_digest: bytes) -> None:
        """Creates the folder.

        Args:
            keys: The key of the input of each window.
            folder: The folder of the files.
            shape: The shape of the logits of a window [C, I, J, K].
            session_digest: A digest of everything that the logits depend on, except clicks and masks.

        Raises:
            OutputError: The folder cannot be created.
        """
        self.keys = keys
        self._shape = tuple(shape)
        self._files = ChecksumFolder(folder, session_digest)
        self._use_counter = itertools.count()
        self._last_uses: dict[str, int] = {}

    def has(self, window: Window) -> bool:
        """Whether undamaged logits of a window are stored for its current input."""
        name, size = self._file_name(window), math.prod(self._shape) * FLOAT_BYTES
        path = self._files.path(name)
        if not path.is_file() or path.stat().st_size != CHECKSUM_BYTES + size:
            return False
        if name not in self._last_uses and self._files.read(name, size) is not None:
            self._last_uses[name] = _NOT_USED
        return name in self._last_uses

    def get(self, window: Window) -> Float32Array | None:
        """Returns the logits of a window; None if they are not stored."""
        name = self._file_name(window)
        if not self.has(window):
            return None
        self._last_uses[name] = next(self._use_counter)
        mapped = np.memmap(self._files.path(name), np.float32, mode="c", offset=CHECKSUM_BYTES, shape=self._shape)
        return mapped.view(np.ndarray)

    def put(self, window: Window, logits: Float32Array) -> None:
        """Stores the logits of a window.

        Raises:
            OutputError: The disk is full.
        """
        name = self._file_name(window)
        self._files.write(name, np.ascontiguousarray(logits).tobytes())
        self._last_uses[name] = next(self._use_counter)
        self._remove_old_versions(name)

    def close(self) -> None:
        """Keeps the files for the next process."""

    def _remove_old_versions(self, newest: str) -> None:
        """Removes the least recently used versions of a window if more than the maximum number are stored."""
        start, _, _ = newest.partition("_")
        names = self._files.names_from_oldest(f"{start}_*")
        by_use = sorted(names, key=lambda name: self._last_uses.get(name, _NOT_USED))  # stable: unused ones by age
        for name in by_use[:-_MAX_VERSIONS]:
            self._last_uses.pop(name, None)
            self._files.remove(name)

    def _file_name(self, window: Window) -> str:
        start = ",".join(str(index) for index in window.start)
        return f"{start}_{self.keys[window.start].hex() or 'none'}.f32"


AnyLogitsStore = MemoryStore | ScratchStore | DiskStore | NullStore


def make_logits_store(
    keys: WindowKeys,
    shape: Sequence[int],
    *,
    device: Device,
    memory: Memory,
    folder: Path | None,
    session_digest: bytes,
) -> AnyLogitsStore:
    """Returns a store for logits: in memory if all windows fit, else on disk if they fit, else a store without content.

    Logits on a GPU are stored there or not at all: the GPU runs a window again faster than its logits can be read.

    Args:
        keys: The key of the input of each window.
        shape: The shape of the logits of a window [C, I, J, K].
        device: Where the logits are.
        memory: The memory that the process may use; the store may use half of the free memory of the device.
        folder: The folder in which the next process finds the logits, which are then always on disk; None if only this
            process needs them.
        session_digest: A digest of everything that the logits depend on, except clicks and masks.
    """
    size = _MAX_VERSIONS * len(keys) * math.prod(shape) * FLOAT_BYTES
    if device.is_host and folder is not None:
        return DiskStore(keys, folder, shape, session_digest) if size <= _usable_bytes(folder) // 2 else NullStore()
    if size <= device.free_bytes(memory) // 2:
        return MemoryStore(keys, shape)
    if device.is_host and size <= _usable_bytes(memory.spool_folder) // 2:
        return ScratchStore(keys, memory.spool_folder, shape)
    return NullStore()


def _usable_bytes(folder: Path) -> int:
    """Returns the space for logits in a folder, which may not exist yet: free disk space and existing logits."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    stored_bytes = sum(path.stat().st_size for path in folder.glob("*.f32"))
    return shutil.disk_usage(existing).free + stored_bytes
