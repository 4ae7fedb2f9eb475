"""A file without a name, for what does not fit into memory: nothing of it is left, however the process ends."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from clickseg.core.arrays import Values
from clickseg.core.errors import OutputError
from clickseg.core.owned_files import open_itself
from clickseg.core.staging import remove_parts, replace_whole


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


logger = logging.getLogger(__name__)

_DIGEST_BYTES = 32
_OURS = 0o644
"""For this user to write, whatever the umask: what others may write is not trusted."""


class Slot:
    """The place of one compiled thing; it is named after all that this depends on."""

    def __init__(self, cache: Path | None, kind: str, depends_on: Mapping[str, object], suffix: str) -> None:
        """Names a place.

        Args:
            cache: The folder for all kinds of things; None for none.
            kind: The folder in it.
            depends_on: All that the compiled thing depends on, as JSON can hold it.
            suffix: Of the file.
        """
        key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
        self.path = None if cache is None else cache / kind / f"{key}{suffix}"

    def read(self, is_trusted: Callable[[os.stat_result], bool] = lambda _: True) -> bytes | None:
        """Returns what was written; None where nothing was, or it is damaged.

        Args:
            is_trusted: Whether a file may count, by its status.
        """
        if self.path is None:
            return None
        try:
            with open_itself(self.path) as file:
                content = file.read() if is_trusted(os.fstat(file.fileno())) else b""
        except OSError:
            return None
        digest, compiled = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        return compiled if hashlib.sha256(compiled).digest() == digest else None

    def write(self, compiled: bytes) -> None:
        """Keeps something, if it can: a cache that cannot be filled costs time, and nothing else."""
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            remove_parts(self.path.parent)
            replace_whole(self.path, hashlib.sha256(compiled).digest() + compiled, _OURS)
        except OSError as error:
            logger.debug("not kept: %s: %s", self.path, error.strerror)
