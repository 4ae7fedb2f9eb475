"""The memory that arrays are in: the host's or a GPU's. The same code works on both, by NumPy's NEP 13 and NEP 18."""

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
    """The memory of images, windows and logits. GPU arrays have the type of NumPy arrays: they behave like them."""

    @property
    def is_host(self) -> bool:
        """Whether this is the memory of the host."""
        ...

    def put(self, array: A) -> A:
        """Copies an array from the host to the device."""
        ...

    def get(self, array: A) -> A:
        """Copies an array from the device to the host."""
        ...

    def zeros(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Allocates an array of zeros on the device."""
        ...

    def activate(self) -> AbstractContextManager[None]:
        """Returns a context that makes the device the current one. Arrays are only copied and allocated within it.

        Raises:
            DeviceMemoryError: Within the context, the device ran out of memory.
        """
        ...

    def free_cached_memory(self) -> None:
        """Frees the memory that is cached for future arrays, so that other processes and libraries can use it."""
        ...

    def free_bytes(self, memory: Memory) -> int:
        """Returns how many bytes new arrays may take.

        Args:
            memory: The limit of the host's memory.
        """
        ...


class HostDevice:
    """The memory of the host."""

    is_host = True

    def put(self, array: A) -> A:
        """Returns the array itself."""
        return array

    def get(self, array: A) -> A:
        """Returns the array itself."""
        return array

    def zeros(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Allocates an array of zeros."""
        return np.zeros(shape, dtype)

    def activate(self) -> AbstractContextManager[None]:
        """Returns a context that does nothing."""
        return nullcontext()

    def free_cached_memory(self) -> None:
        """Does nothing, since no memory is cached."""

    def free_bytes(self, memory: Memory) -> int:
        """Returns how many bytes the memory limit leaves."""
        return memory.free_bytes()


HOST = HostDevice()


class CudaDevice:
    """The memory of a GPU, accessed with CuPy."""

    is_host = False

    def __init__(self, number: int) -> None:
        """Selects a GPU.

        Args:
            number: The number of the GPU, from 0.
        """
        _choose_kernel_cache()
        import cupy

        self._cupy = cupy
        self._gpu = cupy.cuda.Device(number)

    def put(self, array: A) -> A:
        """Copies an array to the GPU."""
        gpu_array: A = self._cupy.asarray(array)
        return gpu_array

    def get(self, array: A) -> A:
        """Copies an array to the host."""
        host_array: A = self._cupy.asnumpy(array)
        return host_array

    def zeros(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Allocates an array of zeros on the GPU."""
        zeros: NDArray[Any] = self._cupy.zeros(shape, dtype)
        return zeros

    @contextmanager
    def activate(self) -> Iterator[None]:
        """Makes the GPU the current one. At the end, frees the memory of deleted arrays for other processes."""
        message = ""
        try:
            with self._gpu, self._cupy.cuda.using_allocator(self._allocate):
                yield
        except self._cupy.cuda.memory.OutOfMemoryError as error:
            message = f"CUDA device {self._gpu.id}: {error}"  # the error itself would keep the arrays alive
        finally:
            self.free_cached_memory()
        if message:
            raise DeviceMemoryError(message)

    def free_cached_memory(self) -> None:
        """See ``Device``."""
        with self._gpu:  # the memory pool is that of the current GPU
            self._cupy.get_default_memory_pool().free_all_blocks()
        self._cupy.get_default_pinned_memory_pool().free_all_blocks()

    def free_bytes(self, memory: Memory) -> int:  # noqa: ARG002 - the limit is for the host
        """Returns how many bytes of the GPU are free."""
        free, _ = self._gpu.mem_info
        return int(free)

    def _allocate(self, size: int) -> Any:
        """Allocates memory. If the GPU is full, torch first frees the memory that it caches for future tensors."""
        pool = self._cupy.get_default_memory_pool()
        try:
            return pool.malloc(size)
        except self._cupy.cuda.memory.OutOfMemoryError:
            torch = sys.modules.get("torch")
            if torch is None:
                raise
        torch.cuda.empty_cache()
        return pool.malloc(size)


def array_device(engine_device: str) -> Device:
    """Returns the device for the arrays of an engine: its GPU if CuPy is installed, else the host.

    Args:
        engine_device: The device that the engine runs on, such as ``cpu`` or ``cuda:1``.
    """
    kind, _, number = engine_device.partition(":")
    if kind != "cuda" or importlib.util.find_spec("cupy") is None:
        return HOST
    try:
        return CudaDevice(int(number or 0))
    except ImportError as error:  # for example, CuPy for another version of CUDA
        logger.warning("CuPy cannot be used, so the host does its work: %s", first_line(error))
        return HOST


def _choose_kernel_cache() -> None:
    """Makes CuPy cache its kernels in memory if its cache folder is not writable; otherwise CuPy would fail."""
    folder = Path(os.environ.get("CUPY_CACHE_DIR") or Path("~", ".cupy", "kernel_cache").expanduser())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_writable = os.access(folder, os.W_OK)
    except OSError:
        is_writable = False
    if not is_writable:
        os.environ |= {"CUPY_CACHE_IN_MEMORY": "1", "CUPY_CACHE_DIR": tempfile.gettempdir()}
