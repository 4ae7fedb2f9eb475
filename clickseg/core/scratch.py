"""A file without a name, for what does not fit into memory: nothing of it is left, however the process ends."""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from pathlib import Path

import numpy as np

from clickseg.core.arrays import Values
from clickseg.core.errors import OutputError


class Scratch:
    """Arrays of float32 on a disk, by the place where each begins; nobody else can read them."""

    def __init__(self, folder: Path) -> None:
        """Opens a file.

        Args:
            folder: The folder whose disk is written to.

        Raises:
            OutputError: Nothing can be written there.
        """
        self._folder = folder
        self._at_work = threading.Lock()  # the file has one position
        try:
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed with the object
        except OSError as error:
            raise self._failed(error) from error
        self.close = weakref.finalize(self, self._file.close)

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return os.fstat(self._file.fileno()).st_size

    def write(self, values: Values, offset: int) -> int:
        """Writes an array, and returns where it ends.

        Raises:
            OutputError: The disk is full.
        """
        left = np.ascontiguousarray(values).data.cast("B")
        try:
            with self._at_work:
                self._file.seek(offset)
                while left:  # a disk that is all but full takes less than it is given
                    left = left[self._file.write(left) :]
        except OSError as error:
            raise self._failed(error) from error
        return offset + values.nbytes

    def read_into(self, values: Values, offset: int) -> None:
        """Fills an array in C order.

        Raises:
            OutputError: The disk does not give back what it was given.
        """
        left = values.data.cast("B")
        try:
            with self._at_work:
                self._file.seek(offset)
                while left and (done := self._file.readinto(left)):
                    left = left[done:]
        except OSError as error:
            raise self._failed(error) from error
        if left:
            raise self._failed(OSError("the file has been cut"))

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self._folder}: logits that do not fit into memory cannot be kept there: {error.strerror or error}",
            hint="raise --memory-limit, or free disk",
        )
