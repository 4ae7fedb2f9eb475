"""Choosing the runtime by name, in one place; nothing else asks which one it is."""

from __future__ import annotations

import importlib.util
from enum import Enum

from typing_extensions import assert_never

from clickseg.cuda_runtime import has_cuda_device
from clickseg.engines.engine import Engine, Precision
from clickseg.errors import EngineError
from clickseg.models.package import TORCHSCRIPT, ModelPackage


class Runtime(str, Enum):
    """The runtimes by name; ``auto`` is resolved before one is made."""

    AUTO = "auto"
    OPENVINO = "openvino"
    TORCH = "torch"


def make_engine(package: ModelPackage, runtime: Runtime, device: str, precision: Precision) -> Engine:
    """Loads a package's network into a runtime.

    Args:
        package: The model.
        runtime: The runtime; ``auto`` takes torch where there is a CUDA device, else OpenVINO.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto`` takes the fastest that the device computes in.

    Raises:
        EngineError: The runtime is not installed, or cannot run the package on this device.
        ModelError: The package's weights are missing or not those that its metadata name.
    """
    resolved = _resolve(package, device) if runtime is Runtime.AUTO else runtime
    match resolved:
        case Runtime.OPENVINO:
            if device not in ("auto", "cpu"):
                raise EngineError(f"OpenVINO runs on the CPU here, not on {device}", hint="--engine torch")
            from clickseg.engines.openvino_engine import OpenVinoEngine

            return OpenVinoEngine(package, precision)
        case Runtime.TORCH:
            if not _has_torch():
                raise EngineError("torch is not installed", hint="pip install 'clickseg[gpu]'")
            from clickseg.engines.torch_engine import TorchEngine

            return TorchEngine(package, device, precision)
        case Runtime.AUTO:
            raise EngineError(f"model {package.name}: no weights for a runtime here: expected model.xml or model.pt")
        case _:
            assert_never(resolved)


def _resolve(package: ModelPackage, device: str) -> Runtime:
    """Returns the runtime for a device; TorchScript in a package counts only where torch was asked for."""
    has_torch_weights = package.has("model.pt") or (package.path.is_file() and package.has(TORCHSCRIPT))
    wants_cuda = device.startswith("cuda") or (device == "auto" and has_cuda_device())
    if wants_cuda and has_torch_weights and (_has_torch() or device != "auto"):
        return Runtime.TORCH
    if package.has("model.xml") and not device.startswith("cuda"):
        return Runtime.OPENVINO
    return Runtime.TORCH if has_torch_weights else Runtime.AUTO


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None
