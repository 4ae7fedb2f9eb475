"""Several networks that see the same window, such as those of TotalSegmentator, each of which has other classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from clickseg.inference.engines.main_output import MainOutput


class NetworksSideBySide(torch.nn.Module):
    """A network whose logits are those of its members, one after the other: the heads of a ``ModelSpec``.

    The input channels are divided equally among the members: each has its own channels, which can be the same image in
    different scalings.
    """

    def __init__(self, members: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        self.members = torch.nn.ModuleList(MainOutput(member) for member in members)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Returns logits [B, O1 + O2 + .., I, J, K] of windows [B, C1 + C2 + .., I, J, K]."""
        parts = windows.chunk(len(self.members), dim=1)
        return torch.cat([member(part) for member, part in zip(self.members, parts, strict=True)], dim=1)
