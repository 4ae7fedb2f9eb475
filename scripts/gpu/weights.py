"""Weights of a run in f16, and how far it came: everything that is kept, and that the next run continues from."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clickseg.core.files import write_bytes
from clickseg.training.f16_weights import convert_to_f16

WEIGHTS_FOLDER = "weights"
"""The folder of a pack with the weights of earlier runs."""


@dataclass(frozen=True, slots=True)
class SavedRun:
    """The averaged weights of a run.

    Attributes:
        weights: The state dict of the network, f16.
        epoch: The number of epochs that the run has finished.
        seconds: The time that it has trained.
        loss: The mean loss of the last epoch.
    """

    weights: dict[str, torch.Tensor]
    epoch: int
    seconds: float
    loss: float

    def load_into(self, network: torch.nn.Module) -> None:
        """Loads the weights into a network, whose keys must be the same."""
        network.load_state_dict(
            {name: values.float() if values.is_floating_point() else values for name, values in self.weights.items()}
        )


def save_run(network: torch.nn.Module, epoch: int, seconds: float, loss: float, path: Path) -> None:
    """Writes the averaged weights of a run.

    Args:
        network: The network with averaged weights.
        epoch: The number of finished epochs.
        seconds: The time of training.
        loss: The mean loss of the last epoch.
        path: The file.
    """
    buffer = io.BytesIO()
    weights = convert_to_f16(network.state_dict())
    torch.save({"weights": weights, "epoch": epoch, "seconds": seconds, "loss": loss}, buffer)
    write_bytes(path, buffer.getvalue())


def load_run(path: Path) -> SavedRun | None:
    """Returns a saved run; None if there is no file."""
    if not path.is_file():
        return None
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return SavedRun(**content)
