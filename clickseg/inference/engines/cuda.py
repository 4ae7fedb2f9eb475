"""Runs a torch or TensorRT network on windows from the host or a GPU, and converts its errors.

Arrays on a GPU are passed to torch, and back, by DLPack, without a copy through the host. torch runs on the CUDA stream
of CuPy, so that memory that one of them frees is not reused while the other still reads it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

import numpy as np
import torch

from clickseg.core.arrays import Float32Array
from clickseg.core.errors import DeviceMemoryError, EngineError
from clickseg.core.text import first_line

_NETWORK_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    ImportError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Exceptions of networks for windows that they cannot compute, and for libraries that they import when they run."""


def run_network(
    network: Callable[[torch.Tensor], torch.Tensor], batch: Float32Array, device: str, runtime: str
) -> Float32Array:
    """Returns the logits of windows, as an array of the same library as the windows.

    If the device runs out of memory, CuPy releases its cached memory, and the network is run again.

    Args:
        network: Returns logits [B, O, I, J, K] for windows [B, C, I, J, K].
        batch: The windows.
        device: The device of the network: ``cpu``, ``cuda`` or ``cuda:N``.
        runtime: The name of the runtime, for messages.

    Raises:
        DeviceMemoryError: The device is out of memory.
        EngineError: The network failed.
    """
    try:
        return _run_once(network, batch, device, runtime)
    except DeviceMemoryError:
        if not free_cupy_cache(batch):
            raise
    return _run_once(network, batch, device, runtime)


def _run_once(
    network: Callable[[torch.Tensor], torch.Tensor], batch: Float32Array, device: str, runtime: str
) -> Float32Array:
    context = f"on {device} with input {list(batch.shape)}"
    try:
        with torch.inference_mode(), use_device(device, batch):
            return to_array_like(batch, network(to_tensor(batch, device)))
    except EngineError:
        raise
    except out_of_memory_errors() as error:
        reason = first_line(error)
    except _NETWORK_ERRORS as error:
        if not is_out_of_memory(error):
            raise EngineError(f"{runtime} failed {context}: {first_line(error)}") from error
        reason = first_line(error)
    # Raised outside the handler: a chained error would keep its stack frames alive, and so the network's tensors.
    raise DeviceMemoryError(
        f"{runtime} failed {context}: out of memory: {reason}",
        hint="use --device cpu, or --precision f16 instead of f32",
    )


@contextlib.contextmanager
def use_device(device: str, batch: Float32Array) -> Iterator[None]:
    """Makes a device the current device of torch; for a CuPy array, torch also uses the current CUDA stream of CuPy.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        batch: The input of the network.
    """
    if device == "cpu":
        yield
    else:
        with torch.cuda.device(device), torch.cuda.stream(_stream(batch)):
            yield


def _stream(batch: Float32Array) -> torch.cuda.Stream:
    """Returns the CUDA stream of a batch: the current stream of CuPy, or of torch for a NumPy array."""
    if isinstance(batch, np.ndarray):
        return torch.cuda.current_stream()
    import cupy

    pointer = cupy.cuda.get_current_stream(torch.cuda.current_device()).ptr
    return torch.cuda.ExternalStream(pointer) if pointer else torch.cuda.default_stream()


def to_tensor(batch: Float32Array, device: str) -> torch.Tensor:
    """Returns an array as a tensor: a NumPy array is copied to the device, a CuPy array shares its memory.

    Raises:
        EngineError: The CuPy array is on another device.
    """
    if isinstance(batch, np.ndarray):
        return torch.from_numpy(batch).to(device)
    tensor: torch.Tensor = torch.from_dlpack(batch)
    if tensor.device != torch.empty(0, device=device).device:
        raise EngineError(f"expected windows on {device}, got windows on {tensor.device}")
    return tensor


def to_array_like(batch: Float32Array, logits: torch.Tensor) -> Float32Array:
    """Returns logits (f32, C order) as an array of the same library as a batch."""
    logits = logits.float().contiguous()
    if isinstance(batch, np.ndarray):
        return np.asarray(logits.cpu().numpy())
    import cupy

    array: Float32Array = cupy.from_dlpack(logits)
    return array


def out_of_memory_errors() -> tuple[type[Exception], ...]:
    """Returns the exceptions that torch, and CuPy if it is imported, raise when a device is out of memory."""
    cupy = sys.modules.get("cupy")
    return (torch.cuda.OutOfMemoryError, *([cupy.cuda.memory.OutOfMemoryError] if cupy else []))


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that a device is out of memory; torch passes on errors of CUDA libraries unchanged."""
    return any(text in str(error) for text in ("out of memory", "ALLOC_FAILED"))


def free_cupy_cache(batch: Float32Array) -> bool:
    """If a batch is a CuPy array, frees the memory that CuPy caches; returns whether any was freed."""
    if isinstance(batch, np.ndarray):
        return False
    import cupy

    pool = cupy.get_default_memory_pool()
    cached_bytes: int = pool.free_bytes()
    pool.free_all_blocks()
    return cached_bytes > 0
