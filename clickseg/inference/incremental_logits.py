"""What the network said of windows, by what they were given: in memory, on disk, or nowhere."""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from clickseg.core.arrays import Triple, Values
from clickseg.core.device import Device
from clickseg.core.memory import Memory
from clickseg.core.scratch import Scratch
from clickseg.core.sealed import SEAL_BYTES, SealedFolder
from clickseg.inference.incremental_inputs import Keys
from clickseg.inference.sliding_window import NullStore
from clickseg.inference.windows import Window

FLOAT_BYTES = 4
_VERSIONS = 2
"""How many versions of a window are kept: the last step is undone without running anything."""

_LONG_AGO = -1

T = TypeVar("T")


class _Versions(Generic[T]):
    """Of each window the versions that were used last."""

    def __init__(self) -> None:
        self._of: dict[Triple, dict[bytes, T]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def has(self, start: Triple, key: bytes) -> bool:
        """Whether there is a version."""
        return key in self._of.get(start, {})

    def get(self, start: Triple, key: bytes) -> T | None:
        """Returns a version; it is then the one that was used last."""
        versions = self._of.get(start, {})
        if key in versions:
            versions[key] = versions.pop(key)
        return versions.get(key)

    def put(self, start: Triple, key: bytes, version: T) -> None:
        """Takes a version."""
        self._of.setdefault(start, {})[key] = version

    def make_room(self, start: Triple) -> T | None:
        """Takes out the version that was not used for the longest time, where there are as many as are kept."""
        versions = self._of.get(start, {})
        return versions.pop(next(iter(versions))) if len(versions) >= _VERSIONS else None


class InMemory:
    """Logits in memory.

    Attributes:
        keys: What each window is given now.
    """

    def __init__(self, keys: Keys, shape: Sequence[int]) -> None:
        """Is empty.

        Args:
            keys: What each window is given.
            shape: Of a window's logits [C, I, J, K].
        """
        self.keys = keys
        self._window_bytes = math.prod(shape) * FLOAT_BYTES
        self._kept: _Versions[Values] = _Versions()

    @property
    def bytes_to_come(self) -> int:
        """How much more memory they will take."""
        return (_VERSIONS * len(self.keys) - len(self._kept)) * self._window_bytes

    def has(self, window: Window) -> bool:
        """See ``Kept``."""
        return self._kept.has(window.start, self.keys[window.start])

    def get(self, window: Window) -> Values | None:
        """See ``Kept``."""
        return self._kept.get(window.start, self.keys[window.start])

    def put(self, window: Window, logits: Values) -> None:
        """See ``Kept``."""
        self._kept.make_room(window.start)
        self._kept.put(window.start, self.keys[window.start], logits.copy())

    def close(self) -> None:
        """Frees them."""
        self._kept = _Versions()


class InScratch:
    """Logits in a file without a name, for this process alone.

    Attributes:
        keys: What each window is given now.
    """

    bytes_to_come = 0

    def __init__(self, keys: Keys, folder: Path, shape: Sequence[int]) -> None:
        """Opens the file.

        Args:
            keys: What each window is given.
            folder: The folder whose disk is written to.
            shape: Of a window's logits [C, I, J, K].

        Raises:
            OutputError: Nothing can be written there.
        """
        self.keys = keys
        self._shape = tuple(shape)
        self._scratch = Scratch(folder)
        self._offsets: _Versions[int] = _Versions()

    def has(self, window: Window) -> bool:
        """See ``Kept``."""
        return self._offsets.has(window.start, self.keys[window.start])

    def get(self, window: Window) -> Values | None:
        """See ``Kept``.

        Raises:
            OutputError: It cannot be read.
        """
        offset = self._offsets.get(window.start, self.keys[window.start])
        if offset is None:
            return None
        logits = np.empty(self._shape, np.float32)
        self._scratch.read_into(logits, offset)
        return logits

    def put(self, window: Window, logits: Values) -> None:
        """See ``Kept``.

        Raises:
            OutputError: The disk is full.
        """
        freed = self._offsets.make_room(window.start)
        offset = self._scratch.size if freed is None else freed
        self._scratch.write(logits, offset)
        self._offsets.put(window.start, self.keys[window.start], offset)

    def close(self) -> None:
        """Frees the disk."""
        self._scratch.close()


class OnDisk:
    """Logits in files that stay, one for each version of a window, mapped into memory when they are read.

    The SHA-256 of a file is checked when it is first read: what is damaged, or of another session, is run again.

    Attributes:
        keys: What each window is given now.
    """

    bytes_to_come = 0

    def __init__(self, keys: Keys, folder: Path, shape: Sequence[int], session: bytes) -> None:
        """Makes the folder.

        Args:
            keys: What each window is given.
            folder: For the files.
            shape: Of a window's logits [C, I, J, K].
            session: A digest of all that the logits depend on, but for what windows are given.

        Raises:
            OutputError: It cannot be made.
        """
        self.keys = keys
        self._shape = tuple(shape)
        self._files = SealedFolder(folder, session)
        self._uses = itertools.count()
        self._used: dict[str, int] = {}

    def has(self, window: Window) -> bool:
        """See ``Kept``."""
        name, size = self._name(window), math.prod(self._shape) * FLOAT_BYTES
        path = self._files.path(name)
        if not path.is_file() or path.stat().st_size != SEAL_BYTES + size:
            return False
        if name not in self._used and self._files.read(name, size) is not None:
            self._used[name] = _LONG_AGO
        return name in self._used

    def get(self, window: Window) -> Values | None:
        """See ``Kept``."""
        name = self._name(window)
        if not self.has(window):
            return None
        self._used[name] = next(self._uses)
        mapped = np.memmap(self._files.path(name), np.float32, mode="c", offset=SEAL_BYTES, shape=self._shape)
        return mapped.view(np.ndarray)

    def put(self, window: Window, logits: Values) -> None:
        """See ``Kept``.

        Raises:
            OutputError: The disk is full.
        """
        name = self._name(window)
        self._files.write(name, np.ascontiguousarray(logits).tobytes())
        self._used[name] = next(self._uses)
        self._forget(name)

    def close(self) -> None:
        """Leaves them to the next process."""

    def _forget(self, newest: str) -> None:
        """Removes the versions of a window that were not used for the longest time."""
        place, _, _ = newest.partition("_")
        names = self._files.oldest_first(f"{place}_*")
        for name in sorted(names, key=lambda name: self._used.get(name, _LONG_AGO))[:-_VERSIONS]:  # a stable order
            self._used.pop(name, None)
            self._files.remove(name)

    def _name(self, window: Window) -> str:
        place = ",".join(str(each) for each in window.start)
        return f"{place}_{self.keys[window.start].hex() or 'none'}.f32"


WindowLogits = InMemory | InScratch | OnDisk | NullStore


def window_logits(
    keys: Keys, shape: Sequence[int], *, device: Device, memory: Memory, folder: Path | None, session: bytes
) -> WindowLogits:
    """Returns where logits are kept: in memory where all windows fit, else on disk where they fit, else nowhere.

    Those of a GPU stay there or are not kept: it runs windows again in less time than they would be read.

    Args:
        keys: What each window is given.
        shape: Of a window's logits [C, I, J, K].
        device: Where the logits are.
        memory: What the process may take; half of what is left of the device's they may take.
        folder: Where they are left to the next process, on disk in any case; None where none goes on with them.
        session: As for ``OnDisk``.
    """
    size = _VERSIONS * len(keys) * math.prod(shape) * FLOAT_BYTES
    if device.is_host and folder is not None:
        return OnDisk(keys, folder, shape, session) if size <= _disk_bytes(folder) // 2 else NullStore()
    if size <= device.left(memory) // 2:
        return InMemory(keys, shape)
    if device.is_host and size <= _disk_bytes(memory.spool) // 2:
        return InScratch(keys, memory.spool, shape)
    return NullStore()


def _disk_bytes(folder: Path) -> int:
    """Returns how much a folder, which need not be there yet, may hold: what it holds, and what its disk has left."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    held = sum(path.stat().st_size for path in folder.glob("*.f32"))
    return shutil.disk_usage(there).free + held
