"""Batch normalization in training: by the statistics of the batch, or by the running ones, as in use."""

from __future__ import annotations

import torch
from torch.nn.modules.batchnorm import _NormBase


def set_training(network: torch.nn.Module, *, is_fixed: bool) -> None:
    """Makes a network learn.

    Args:
        network: The network.
        is_fixed: Whether its running statistics stay as they are, and are gone by: then what it finds in one place
            depends on nothing that is far from it, and is the same for a patch as for a window.
    """
    network.train()
    for module in network.modules():
        if is_fixed and isinstance(module, _NormBase) and module.track_running_stats:
            module.eval()


def entries(network: torch.nn.Module) -> frozenset[str]:
    """Returns the names of all weights and statistics of normalization; modules have all names that they go by."""
    return frozenset(
        f"{name}.{entry}"
        for name, module in network.named_modules(remove_duplicate=False)
        if isinstance(module, _NormBase)
        for entry in module.state_dict()
    )
