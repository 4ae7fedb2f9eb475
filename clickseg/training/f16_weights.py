"""Weights in f16, as the model packages contain them."""

from __future__ import annotations

from collections.abc import Mapping

import torch


def convert_to_f16(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rounds weights to f16; weights that a network contains under several names are stored once.

    Integers, such as the indices of a SwinUNETR, stay unchanged: f16 does not represent all integers above 2048.
    """
    converted: dict[int, torch.Tensor] = {}
    for weights in state.values():
        values = weights.detach().cpu()
        converted.setdefault(weights.data_ptr(), _round_to_f16(values) if values.is_floating_point() else values)
    return {name: converted[weights.data_ptr()] for name, weights in state.items()}


def _round_to_f16(weights: torch.Tensor) -> torch.Tensor:
    """Rounds weights to f16; unchanged if some overflow, such as the statistics of images in HU."""
    rounded = weights.half()
    return rounded if bool(torch.isfinite(rounded).all()) else weights
