"""How torch's tensors lie in memory: channels first, or last."""

from __future__ import annotations

import torch

from clickseg.engines.engine import Precision


def memory_layout(network: torch.nn.Module, device: str, precision: Precision) -> torch.memory_format:
    """Returns the layout that a network is faster in.

    Channels last is what the convolutions of CPUs work in, and of GPUs below f32. torch normalizes instances channels
    first: a network that does is as slow or slower, since each of its tensors would be laid anew, twice. TorchScript
    may take views that this layout has not.
    """
    stays_first = isinstance(network, torch.jit.ScriptModule) or any(
        isinstance(module, torch.nn.InstanceNorm3d) for module in network.modules()
    )
    pays = device == "cpu" or precision is not Precision.F32
    return torch.channels_last_3d if pays and not stays_first else torch.contiguous_format


def lay_out(network: torch.nn.Module, layout: torch.memory_format) -> None:
    """Lays out the kernels of a network's 3D convolutions."""
    for parameter in network.parameters():
        if parameter.dim() == 5:
            parameter.data = parameter.data.contiguous(memory_format=layout)
