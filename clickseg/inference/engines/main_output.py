"""Networks with several outputs: only the main one is computed with."""

from __future__ import annotations

import torch

from clickseg.core.errors import EngineError


class MainOutput(torch.nn.Module):
    """A network that returns only the main output, so that an exported graph has no other.

    The main output is the first: MONAI returns the logits at full resolution before those of deep supervision and
    before other values. BasicUNetPlusPlus returns them last.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network
        self._index = -1 if type(network).__name__ == "BasicUNetPlusPlus" else 0

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Returns logits [B, O, I, J, K] of windows [B, C, I, J, K].

        Raises:
            EngineError: The network returns neither a tensor, nor a list or tuple with a tensor at this place.
        """
        output = self.network(windows)
        if isinstance(output, (list, tuple)) and output:
            output = output[self._index]
        if not isinstance(output, torch.Tensor):
            raise EngineError(f"the network returns {type(output).__name__}: expected a tensor, or a list of tensors")
        return output
