"""Exports a network to ONNX, with fixed shapes and with the number types of its computation."""

from __future__ import annotations

import importlib.util
import logging
import warnings

import torch

from clickseg.core.errors import EngineError
from clickseg.inference.engines.engine import Precision

WINDOWS, LOGITS = "windows", "logits"
"""The names of the input and the output; both are f32."""

_NORMALIZATIONS = (
    torch.nn.modules.batchnorm._NormBase,  # noqa: SLF001 - the common base class of batch and instance norms
    torch.nn.GroupNorm,
    torch.nn.LayerNorm,
)


def to_onnx(network: torch.nn.Module, shape: tuple[int, ...], precision: Precision) -> bytes:
    """Returns a network as ONNX; for f16 the network itself is converted, and must not be used afterwards.

    Args:
        network: The network, in evaluation mode on the CPU.
        shape: The shape of its input, [B, C, I, J, K].
        precision: f32 or f16.

    Raises:
        EngineError: The exporter is not installed, or does not support the network.
    """
    if importlib.util.find_spec("onnxscript") is None:
        raise EngineError("onnxscript is not installed", hint="pip install 'clickseg[tensorrt]'")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it logs each optional library that is not installed
    typed = F16Network(network) if precision is Precision.F16 else network
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside the exporter
            program = torch.onnx.export(
                typed, (torch.zeros(shape),), input_names=[WINDOWS], output_names=[LOGITS], dynamo=True, verbose=False
            )
    except (RuntimeError, TypeError, ValueError) as error:
        raise EngineError(f"the network cannot be exported to ONNX: {type(error).__name__}") from error
    if program is None:
        raise EngineError("the network cannot be exported to ONNX")
    content: bytes = program.model_proto.SerializeToString()
    return content


class F16Network(torch.nn.Module):
    """A network in f16, except its normalizations, whose sums exceed the range of f16; its input and output are f32."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self._network = network.half()
        for module in network.modules():
            if isinstance(module, _NORMALIZATIONS):
                module.float()
                module.register_forward_pre_hook(lambda _, arguments: (arguments[0].float(),))
                module.register_forward_hook(lambda _module, _arguments, normalized: normalized.half())

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Returns logits [B, O, I, J, K] of windows [B, C, I, J, K]."""
        logits: torch.Tensor = self._network(windows.half())
        return logits.float()
