"""The mean of several networks of the same kind, such as those that nnU-Net trains on the folds of its data."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from clickseg.inference.engines.main_output import MainOutput


class MeanOfNetworks(torch.nn.Module):
    """A network whose logits are the mean of those of its members."""

    def __init__(self, members: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        self.members = torch.nn.ModuleList(MainOutput(member) for member in members)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Returns the mean logits [B, O, I, J, K] of windows [B, C, I, J, K]."""
        total: torch.Tensor = self.members[0](windows)
        for member in list(self.members)[1:]:
            total = total + member(windows)
        return total / len(self.members)
