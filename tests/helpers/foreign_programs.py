"""TorchScript programs with a result that is known: the hook of a CT, shifted along one axis of the training images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tests.helpers import runs

SHIFT_VOX = 2
"""How far the hook is shifted, in voxels, in the direction of the first axis of the images."""

INPUT: dict[str, Any] = {
    "name": "ct",
    "modality": "CT",
    "unit": "HU",
    "scaling": {"kind": "range", "a_min": runs.OUTSIDE_HU, "a_max": runs.INSIDE_HU},
}
DESCRIPTION: dict[str, Any] = {
    "inputs": [INPUT],
    "grid": {"spacing_mm": ["source", "source", "source"], "orientation": "source"},
    "window": {"roi": [24, 24, 24], "overlap": 0, "mode": "constant"},
    "activation": "softmax",
    "output_channels": 2,
    "classes": [{"name": "hook", "channel": 1}],
}


class Shifter(torch.nn.Module):
    """Segments values above 0.5, shifted along the first axis; MONAI has no such network."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Returns logits [B, 2, I, J, K] of windows [B, 1, I, J, K]."""
        shifted = torch.cat([torch.zeros_like(windows[:, :, :2]), windows[:, :, :-2]], dim=2)
        return torch.cat([torch.zeros_like(shifted), shifted - 0.5], dim=1)


class Probabilities(torch.nn.Module):
    """The shifter with its activation inside."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Shifter()

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Returns probabilities [B, 2, I, J, K] of windows [B, 1, I, J, K]."""
        return torch.softmax(self.network(windows), dim=1)


class OnlyTorch(Shifter):
    """The shifter with an operation that OpenVINO does not have, and whose result is ignored."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Returns logits [B, 2, I, J, K] of windows [B, 1, I, J, K]."""
        ignored = torch.linalg.matrix_exp(windows[0, 0, 0, :2, :2]).sum() * 0
        shifted = torch.cat([torch.zeros_like(windows[:, :, :2]), windows[:, :, :-2]], dim=2)
        return torch.cat([torch.zeros_like(shifted), shifted - 0.5 + ignored], dim=1)


def write_shifter(
    folder: Path, name: str = "shifter", *, network: torch.nn.Module | None = None, **changes: Any
) -> Path:
    """Writes a scripted program, and the JSON file that describes it; returns the program."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.ts"
    torch.jit.script((network or Shifter()).eval()).save(str(path))
    path.with_suffix(".json").write_text(json.dumps({**DESCRIPTION, **changes}))
    return path
