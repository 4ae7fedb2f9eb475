"""Giving a network on torch's side windows, on the host or on a GPU, and saying what went wrong.

Arrays that lie on a GPU already reach torch, and come back, by DLPack, without a copy through the host. torch works on
the stream that CuPy works on: what one of them frees is then not given out while the other uses it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

import numpy as np
import torch

from clickseg.core.arrays import Values
from clickseg.core.errors import DeviceMemoryError, EngineError
from clickseg.core.text import first_line


def call(network: Callable[[torch.Tensor], torch.Tensor], batch: Values, device: str, runtime: str) -> Values:
    """Returns what a network says of windows, as an array of the kind that they are.

    Args:
        network: Logits [B, K, I, J, K] of windows [B, C, I, J, K].
        batch: Windows.
        device: Where the network is: ``cpu``, ``cuda`` or ``cuda:N``.
        runtime: What runs it, for the messages.

    Raises:
        DeviceMemoryError: The device has too little memory.
        EngineError: The network failed.
    """
    try:
        return _said(network, batch, device, runtime)
    except DeviceMemoryError:
        if not make_room(batch):
            raise
    return _said(network, batch, device, runtime)


def _said(network: Callable[[torch.Tensor], torch.Tensor], batch: Values, device: str, runtime: str) -> Values:
    where = f"on {device} in a window of {list(batch.shape)}"
    try:
        with torch.inference_mode(), at_work_with(batch, device):
            return as_given(network(as_tensor(batch, device)), batch)
    except EngineError:
        raise
    except out_of_memory() as error:
        said = first_line(error)
    except (BufferError, RuntimeError) as error:
        if not is_full(error):
            raise EngineError(f"{runtime} failed {where}: {first_line(error)}") from error
        said = first_line(error)
    # Out of the handler: an error keeps the frames that it came through, and they what the network had in that memory.
    raise DeviceMemoryError(
        f"{runtime} failed {where}: out of memory: {said}", hint="--device cpu, or --precision f16 where it is f32"
    )


@contextlib.contextmanager
def at_work_with(batch: Values, device: str) -> Iterator[None]:
    """Has torch work on a device, in order with what CuPy does there where the batch is an array of CuPy's.

    Args:
        batch: What a network is given.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
    """
    if device == "cpu":
        yield
    else:
        with torch.cuda.device(device), torch.cuda.stream(_stream(batch)):
            yield


def _stream(batch: Values) -> torch.cuda.Stream:
    """Returns the stream that a batch was made on: CuPy's present one, or for an array of NumPy's torch's."""
    if isinstance(batch, np.ndarray):
        return torch.cuda.current_stream()
    import cupy

    pointer = cupy.cuda.get_current_stream(torch.cuda.current_device()).ptr
    return torch.cuda.ExternalStream(pointer) if pointer else torch.cuda.default_stream()


def as_tensor(batch: Values, device: str) -> torch.Tensor:
    """Returns an array as a tensor: one of NumPy's is copied to the device, another one shares its memory.

    Raises:
        EngineError: The array lies on another device.
    """
    if isinstance(batch, np.ndarray):
        return torch.from_numpy(batch).to(device)
    tensor: torch.Tensor = torch.from_dlpack(batch)
    if tensor.device != torch.empty(0, device=device).device:
        raise EngineError(f"expected a window on {device}, got one on {tensor.device}")
    return tensor


def as_given(logits: torch.Tensor, batch: Values) -> Values:
    """Returns logits (f32, C order) as an array of the kind that a batch is of."""
    logits = logits.float().contiguous()
    if isinstance(batch, np.ndarray):
        return np.asarray(logits.cpu().numpy())
    import cupy

    array: Values = cupy.from_dlpack(logits)
    return array


def out_of_memory() -> tuple[type[Exception], ...]:
    """Returns what torch, and CuPy where it is in use, raise where a device has too little memory."""
    cupy = sys.modules.get("cupy")
    return (torch.cuda.OutOfMemoryError, *([cupy.cuda.memory.OutOfMemoryError] if cupy else []))


def is_full(error: Exception) -> bool:
    """Whether an error of CUDA's own libraries, which torch passes on as it is, says that a device's memory is full."""
    return any(each in str(error) for each in ("out of memory", "ALLOC_FAILED"))


def make_room(batch: Values) -> bool:
    """Has CuPy, where a batch is an array of its, give back what it keeps for arrays to come; says whether it did."""
    if isinstance(batch, np.ndarray):
        return False
    import cupy

    pool = cupy.get_default_memory_pool()
    kept: int = pool.free_bytes()
    pool.free_all_blocks()
    return kept > 0
