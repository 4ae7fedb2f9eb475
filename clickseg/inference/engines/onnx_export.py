"""A network as ONNX, of fixed shapes, with the types that it is to compute in."""

from __future__ import annotations

import importlib.util
import logging
import warnings

import torch

from clickseg.core.errors import EngineError
from clickseg.inference.engines.engine import Precision

WINDOWS, LOGITS = "windows", "logits"
"""What the input and the output are called; both are f32."""

_NORMALIZATIONS = (
    torch.nn.modules.batchnorm._NormBase,  # noqa: SLF001 - the one class that batch and instance norms derive from
    torch.nn.GroupNorm,
    torch.nn.LayerNorm,
)


def to_onnx(network: torch.nn.Module, shape: tuple[int, ...], precision: Precision) -> bytes:
    """Returns a network as ONNX; in f16 it is changed for that, and of no other use afterwards.

    Args:
        network: The network, in evaluation mode on the CPU.
        shape: Of its windows, [B, C, I, J, K].
        precision: f32 or f16.

    Raises:
        EngineError: The exporter is not installed, or cannot express the network.
    """
    if importlib.util.find_spec("onnxscript") is None:
        raise EngineError("onnxscript is not installed", hint="pip install 'clickseg[tensorrt]'")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it names each library that it could also export
    typed = InF16(network) if precision is Precision.F16 else network
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the exporter itself will have to change
            program = torch.onnx.export(
                typed, (torch.zeros(shape),), input_names=[WINDOWS], output_names=[LOGITS], dynamo=True, verbose=False
            )
    except (RuntimeError, TypeError, ValueError) as error:
        raise EngineError(f"the network cannot be written as ONNX: {type(error).__name__}") from error
    if program is None:
        raise EngineError("the network cannot be written as ONNX")
    content: bytes = program.model_proto.SerializeToString()
    return content


class InF16(torch.nn.Module):
    """A network in f16 but for its normalizations, whose sums f16 cannot hold; f32 in, f32 out."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self._network = network.half()
        for module in network.modules():
            if isinstance(module, _NORMALIZATIONS):
                module.float()
                module.register_forward_pre_hook(lambda _, arguments: (arguments[0].float(),))
                module.register_forward_hook(lambda _module, _arguments, normalized: normalized.half())

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Returns logits [B, K, I, J, K] of windows [B, C, I, J, K]."""
        logits: torch.Tensor = self._network(windows.half())
        return logits.float()
