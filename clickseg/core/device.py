"""Where arrays lie: on the host or on a GPU. The same code works on both, through NumPy's protocols (NEP 13 and 18)."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from clickseg.core.errors import DeviceMemoryError
from clickseg.core.memory import Memory
from clickseg.core.text import first_line

logger = logging.getLogger(__name__)

A = TypeVar("A", bound=NDArray[Any])


class Device(Protocol):
    """Where images, windows and logits lie; arrays there are typed as NumPy's, which they behave like."""

    @property
    def is_host(self) -> bool:
        """Whether it is the host's memory."""
        ...

    def put(self, array: A) -> A:
        """Returns an array of the host on the device."""
        ...

    def get(self, array: A) -> A:
        """Returns an array of the device on the host."""
        ...

    def zeros(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Returns zeros on the device."""
        ...

    def working(self) -> AbstractContextManager[None]:
        """Returns a context in which work on the device is done; nothing else here is done outside of it.

        Raises:
            DeviceMemoryError: In it, the device's memory is full.
        """
        ...

    def release(self) -> None:
        """Gives memory back that is kept for arrays to come: others cannot take it."""
        ...

    def left(self, memory: Memory) -> int:
        """Returns how much memory arrays may take.

        Args:
            memory: What may be taken of the host's.
        """
        ...


class Host:
    """The host's memory."""

    is_host = True

    def put(self, array: A) -> A:
        """Returns the array itself."""
        return array

    def get(self, array: A) -> A:
        """Returns the array itself."""
        return array

    def zeros(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Returns zeros."""
        return np.zeros(shape, dtype)

    def working(self) -> AbstractContextManager[None]:
        """Returns a context that does nothing."""
        return nullcontext()

    def release(self) -> None:
        """Nothing is kept."""

    def left(self, memory: Memory) -> int:
        """Returns what is left of it."""
        return memory.left()


HOST = Host()


class Cuda:
    """A GPU's memory, by CuPy."""

    is_host = False

    def __init__(self, number: int) -> None:
        """Takes a GPU.

        Args:
            number: Of the GPU, from 0.
        """
        _let_kernels_be_kept()
        import cupy

        self._cupy = cupy
        self._gpu = cupy.cuda.Device(number)

    def put(self, array: A) -> A:
        """Returns a copy on the GPU."""
        there: A = self._cupy.asarray(array)
        return there

    def get(self, array: A) -> A:
        """Returns a copy on the host."""
        here: A = self._cupy.asnumpy(array)
        return here

    def zeros(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Returns zeros on the GPU."""
        made: NDArray[Any] = self._cupy.zeros(shape, dtype)
        return made

    @contextmanager
    def working(self) -> Iterator[None]:
        """Makes the GPU the current one; afterwards the memory of arrays that are gone is free for others."""
        full = ""
        try:
            with self._gpu, self._cupy.cuda.using_allocator(self._allocated):
                yield
        except self._cupy.cuda.memory.OutOfMemoryError as error:
            full = f"CUDA device {self._gpu.id}: {error}"  # the error itself would keep alive what was allocated
        finally:
            self.release()
        if full:
            raise DeviceMemoryError(full)

    def release(self) -> None:
        """See ``Device``."""
        with self._gpu:  # whose blocks are meant
            self._cupy.get_default_memory_pool().free_all_blocks()
        self._cupy.get_default_pinned_memory_pool().free_all_blocks()

    def left(self, memory: Memory) -> int:  # noqa: ARG002 - of the GPU's
        """Returns what nobody has taken of it."""
        free, _ = self._gpu.mem_info
        return int(free)

    def _allocated(self, size: int) -> Any:
        """Allocates memory; where there is too little, torch gives back what it keeps for tensors to come."""
        pool = self._cupy.get_default_memory_pool()
        try:
            return pool.malloc(size)
        except self._cupy.cuda.memory.OutOfMemoryError:
            torch = sys.modules.get("torch")
            if torch is None:
                raise
        torch.cuda.empty_cache()
        return pool.malloc(size)


def device_of(engine_device: str) -> Device:
    """Returns where the arrays for an engine lie: on its GPU where CuPy is installed, else on the host.

    Args:
        engine_device: Where the engine runs, such as ``cpu`` or ``cuda:1``.
    """
    kind, _, number = engine_device.partition(":")
    if kind != "cuda" or importlib.util.find_spec("cupy") is None:
        return HOST
    try:
        return Cuda(int(number or 0))
    except ImportError as error:  # as where it is for another CUDA than the one at hand
        logger.warning("CuPy cannot be used, the host does its work: %s", first_line(error))
        return HOST


def _let_kernels_be_kept() -> None:
    """Has CuPy keep its kernels in memory where its folder for them cannot be written, without which it fails."""
    folder = Path(os.environ.get("CUPY_CACHE_DIR") or Path("~", ".cupy", "kernel_cache").expanduser())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_writable = os.access(folder, os.W_OK)
    except OSError:
        is_writable = False
    if not is_writable:
        os.environ |= {"CUPY_CACHE_IN_MEMORY": "1", "CUPY_CACHE_DIR": tempfile.gettempdir()}
