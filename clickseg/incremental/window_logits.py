"""What the network said of windows, by what they were given: in memory, on disk, or nowhere."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clickseg.arrays import Values
from clickseg.boxes import Triple
from clickseg.errors import OutputError
from clickseg.incremental.window_inputs import Keys
from clickseg.inference.device import Device
from clickseg.inference.windows import Window
from clickseg.staging import replace_whole

FLOAT_BYTES = 4
_VERSIONS = 2
"""How many versions of a window are kept on disk: the last step is undone without running anything."""

_DIGEST_BYTES = 32


class InMemory:
    """Logits in memory; of each window the last versions.

    Attributes:
        keys: What each window is given now.
    """

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self._kept: dict[Triple, dict[bytes, Values]] = {}

    def get(self, window: Window) -> Values | None:
        """See ``Kept``."""
        return self._kept.get(window.start, {}).get(self.keys[window.start])

    def close(self) -> None:
        """Nothing is left behind."""

    def put(self, window: Window, logits: Values) -> None:
        """See ``Kept``."""
        versions = self._kept.setdefault(window.start, {})
        while len(versions) >= _VERSIONS:
            del versions[next(iter(versions))]
        versions[self.keys[window.start]] = logits.copy()


class OnDisk:
    """Logits in files, one for each version of a window, mapped into memory when they are read.

    A file begins with its SHA-256, which is checked when it is first read: what is damaged is run again.

    Attributes:
        keys: What each window is given now.
    """

    def __init__(self, keys: Keys, folder: Path, shape: Sequence[int], *, is_lasting: bool) -> None:
        """Makes the folder.

        Args:
            keys: What each window is given.
            folder: For the files.
            shape: Of a window's logits [C, I, J, K].
            is_lasting: Whether they stay when this process ends.

        Raises:
            OutputError: It cannot be made.
        """
        self.keys = keys
        self._folder, self._shape = folder, tuple(shape)
        self._checked: set[Path] = set()
        self._is_lasting = is_lasting
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made: {error.strerror}") from error

    def get(self, window: Window) -> Values | None:
        """See ``Kept``."""
        path = self._path(window)
        size = math.prod(self._shape) * FLOAT_BYTES
        if not path.is_file() or path.stat().st_size != _DIGEST_BYTES + size:
            return None
        if path not in self._checked and not _is_whole(path):
            return None
        self._checked.add(path)
        mapped = np.memmap(path, np.float32, mode="c", offset=_DIGEST_BYTES, shape=self._shape)
        return mapped.view(np.ndarray)

    def put(self, window: Window, logits: Values) -> None:
        """See ``Kept``.

        Raises:
            OutputError: The disk is full.
        """
        path, content = self._path(window), np.ascontiguousarray(logits).tobytes()
        try:
            replace_whole(path, hashlib.sha256(content).digest() + content)
        except OSError as error:
            raise OutputError(f"{path}: logits cannot be kept: {error.strerror}") from error
        self._checked.add(path)
        self._forget(path)

    def close(self) -> None:
        """Removes the files, unless they are lasting."""
        if not self._is_lasting:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _forget(self, newest: Path) -> None:
        """Removes the oldest versions of a window."""
        place, _, _ = newest.name.partition("_")
        versions = sorted(self._folder.glob(f"{place}_*"), key=lambda path: path.stat().st_mtime_ns)
        for path in versions[:-_VERSIONS]:
            self._checked.discard(path)
            path.unlink(missing_ok=True)

    def _path(self, window: Window) -> Path:
        place = ",".join(str(each) for each in window.start)
        return self._folder / f"{place}_{self.keys[window.start].hex() or 'none'}.f32"


class Nowhere:
    """No logits: windows beside those that changed are run again too.

    Attributes:
        keys: What each window is given now.
    """

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    def get(self, window: Window) -> Values | None:  # noqa: ARG002 - of any window
        """See ``Kept``."""
        return None

    def put(self, window: Window, logits: Values) -> None:
        """See ``Kept``."""

    def close(self) -> None:
        """Nothing is left behind."""


WindowLogits = InMemory | OnDisk | Nowhere


def window_logits(
    keys: Keys, shape: Sequence[int], *, device: Device, memory_bytes: int, folder: Path, is_lasting: bool
) -> WindowLogits:
    """Returns where logits are kept: in memory where all windows fit, else on disk where they fit, else nowhere.

    Those of a GPU stay there or are not kept: it runs windows again in less time than they would be read.

    Args:
        keys: What each window is given.
        shape: Of a window's logits [C, I, J, K].
        device: Where the logits are.
        memory_bytes: How much of the device's memory they may take.
        folder: For files.
        is_lasting: Whether another process will go on with them, so that they are on disk in any case.
    """
    size = _VERSIONS * len(keys) * math.prod(shape) * FLOAT_BYTES
    fits = size <= memory_bytes
    if not device.is_host:
        return InMemory(keys) if fits else Nowhere(keys)
    if fits and not is_lasting:
        return InMemory(keys)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if size <= shutil.disk_usage(folder.parent).free // 2:
        return OnDisk(keys, folder, shape, is_lasting=is_lasting)
    return Nowhere(keys)


def _is_whole(path: Path) -> bool:
    content = path.read_bytes()
    return hashlib.sha256(content[_DIGEST_BYTES:]).digest() == content[:_DIGEST_BYTES]
