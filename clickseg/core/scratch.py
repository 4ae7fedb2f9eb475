"""A temporary file without a name, for data that do not fit into memory. It vanishes even if the process is killed."""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from pathlib import Path

import numpy as np

from clickseg.core.arrays import Float32Array
from clickseg.core.errors import OutputError


class ScratchFile:
    """Arrays of float32 in a file, found by their byte offset. Other users cannot read the file."""

    def __init__(self, folder: Path) -> None:
        """Creates the file.

        Args:
            folder: A folder on the disk that is used.

        Raises:
            OutputError: The folder is not writable.
        """
        self._folder = folder
        self._lock = threading.Lock()  # the file has only one position
        try:
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by the finalizer
        except OSError as error:
            raise self._to_error(error) from error
        self.close = weakref.finalize(self, self._file.close)

    @property
    def size_bytes(self) -> int:
        """The size of the file in bytes."""
        return os.fstat(self._file.fileno()).st_size

    def write(self, values: Float32Array, offset: int) -> int:
        """Writes an array at an offset. Returns the offset of its end.

        Raises:
            OutputError: The disk is full.
        """
        remaining = np.ascontiguousarray(values).data.cast("B")
        try:
            with self._lock:
                self._file.seek(offset)
                while remaining:  # an almost full disk writes only a part
                    remaining = remaining[self._file.write(remaining) :]
        except OSError as error:
            raise self._to_error(error) from error
        return offset + values.nbytes

    def read_into(self, values: Float32Array, offset: int) -> None:
        """Reads the values at an offset into an array in C order.

        Raises:
            OutputError: The file cannot be read, or is too short.
        """
        remaining = values.data.cast("B")
        try:
            with self._lock:
                self._file.seek(offset)
                while remaining and (count := self._file.readinto(remaining)):
                    remaining = remaining[count:]
        except OSError as error:
            raise self._to_error(error) from error
        if remaining:
            raise self._to_error(OSError("the file was truncated"))

    def _to_error(self, error: OSError) -> OutputError:
        reason = error.strerror or error
        return OutputError(
            f"{self._folder}: logits that do not fit into memory cannot be stored in this folder: {reason}",
            hint="raise --memory-limit, or free disk space",
        )
