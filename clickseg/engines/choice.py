"""Choosing the runtime by name, in one place; nothing else asks which one it is."""

from __future__ import annotations

import importlib.util
from enum import Enum
from pathlib import Path

from clickseg.cuda_runtime import has_cuda_device
from clickseg.engines.engine import Engine, Precision
from clickseg.errors import EngineError
from clickseg.models.package import TORCHSCRIPT, ModelPackage


class Runtime(str, Enum):
    """The runtimes by name; ``auto`` is resolved before one is made."""

    AUTO = "auto"
    OPENVINO = "openvino"
    TORCH = "torch"
    TENSORRT = "tensorrt"


def make_engine(
    package: ModelPackage, runtime: Runtime, device: str, precision: Precision, cache: Path | None = None
) -> Engine:
    """Loads a package's network into a runtime.

    Args:
        package: The model.
        runtime: The runtime; ``auto`` takes torch where there is a CUDA device, else OpenVINO, and never TensorRT.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto`` takes f16 on CUDA, bf16 where the processor computes in it, else f32.
        cache: A folder for compiled networks.

    Raises:
        EngineError: The runtime is not installed, or cannot run the package on this device.
        ModelError: The package's weights are missing or not those that its metadata name.
    """
    if runtime is Runtime.AUTO:
        runtime = _resolve(package, device)
    if runtime is Runtime.OPENVINO:
        return _openvino(package, device, precision, cache)
    if runtime is Runtime.TENSORRT:
        return _tensorrt(package, device, precision, cache)
    return _torch(package, device, precision)


def _openvino(package: ModelPackage, device: str, precision: Precision, cache: Path | None) -> Engine:
    if device not in ("auto", "cpu"):
        raise EngineError(f"OpenVINO runs on the CPU here, not on {device}", hint="--engine torch")
    from clickseg.engines.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(package, precision, cache)


def _tensorrt(package: ModelPackage, device: str, precision: Precision, cache: Path | None) -> Engine:
    if device == "cpu":
        raise EngineError("TensorRT runs on CUDA, not on cpu", hint="--engine openvino")
    if not (_has_torch() and importlib.util.find_spec("tensorrt")):
        raise EngineError("TensorRT is not installed", hint="pip install 'clickseg[tensorrt]'")
    from clickseg.engines.tensorrt_engine import TensorRtEngine
    from clickseg.engines.torch_engine import cuda_or_cpu

    return TensorRtEngine(package, cuda_or_cpu("cuda" if device == "auto" else device), precision, cache)


def _torch(package: ModelPackage, device: str, precision: Precision) -> Engine:
    if not _has_torch():
        raise EngineError("torch is not installed", hint="pip install 'clickseg[gpu]'")
    from clickseg.engines.torch_engine import TorchEngine

    return TorchEngine(package, device, precision)


def _resolve(package: ModelPackage, device: str) -> Runtime:
    """Returns the runtime for a device; TorchScript in a package counts only where torch was asked for."""
    has_torch_weights = package.has("model.pt") or (package.path.is_file() and package.has(TORCHSCRIPT))
    wants_cuda = device.startswith("cuda") or (device == "auto" and has_cuda_device())
    if wants_cuda and has_torch_weights and (_has_torch() or device != "auto"):
        return Runtime.TORCH
    if package.has("model.xml") and not device.startswith("cuda"):
        return Runtime.OPENVINO
    if has_torch_weights:
        return Runtime.TORCH
    raise EngineError(f"model {package.name}: no weights for a runtime here: expected model.xml or model.pt")


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None
