"""Giving a network on torch's side windows, and saying what went wrong."""

from __future__ import annotations

from collections.abc import Callable

import torch

from clickseg.arrays import Values
from clickseg.engines.device_arrays import as_given, as_tensor, at_work_with, is_full, make_room, out_of_memory
from clickseg.errors import DeviceMemoryError, EngineError
from clickseg.wording import first_line


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
