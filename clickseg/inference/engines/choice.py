"""Makes the engine of a runtime; no other module depends on which runtime is used."""

from __future__ import annotations

import importlib.util

from clickseg.core.errors import EngineError
from clickseg.inference.engines.cuda_runtime import has_cuda_device
from clickseg.inference.engines.engine import Engine
from clickseg.inference.engines.mirroring import MirroredEngine
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import TORCHSCRIPT, ModelPackage


def make_engine(package: ModelPackage, settings: RuntimeSettings) -> Engine:
    """Loads the network of a package into a runtime, with the test-time mirroring of the model.

    Args:
        package: The model.
        settings: The runtime, device, precision, mirroring, and the folder for compiled networks.

    Raises:
        EngineError: The runtime is not installed, or cannot run the package on this device.
        ModelError: The weights of the package are missing, or do not match the SHA-256 in its metadata.
    """
    engine, axes = make_plain_engine(package, settings), package.spec.mirror_axes
    return MirroredEngine(engine, axes if settings.mirroring else ()) if axes else engine


def make_plain_engine(package: ModelPackage, settings: RuntimeSettings) -> Engine:
    """Loads the network of a package into a runtime, without mirroring.

    Raises:
        EngineError: The runtime is not installed, or cannot run the package on this device.
        ModelError: The weights of the package are missing, or do not match the SHA-256 in its metadata.
    """
    runtime = settings.runtime
    if runtime is Runtime.AUTO:
        runtime = _resolve_auto(package, settings.device)
    if runtime is Runtime.OPENVINO:
        return _make_openvino(package, settings)
    if runtime is Runtime.TENSORRT:
        return _make_tensorrt(package, settings)
    return _make_torch(package, settings)


def _make_openvino(package: ModelPackage, settings: RuntimeSettings) -> Engine:
    if settings.device not in ("auto", "cpu"):
        raise EngineError(f"OpenVINO runs only on the CPU, not on {settings.device}", hint="use --engine torch")
    from clickseg.inference.engines.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(package, settings.precision, settings.cache)


def _make_tensorrt(package: ModelPackage, settings: RuntimeSettings) -> Engine:
    if settings.device == "cpu":
        raise EngineError("TensorRT runs only on CUDA, not on the CPU", hint="use --engine openvino")
    if not (_has_torch() and importlib.util.find_spec("tensorrt")):
        raise EngineError("TensorRT is not installed", hint="pip install 'clickseg[tensorrt]'")
    from clickseg.inference.engines.tensorrt_engine import TensorRtEngine
    from clickseg.inference.engines.torch_engine import resolve_device

    device = resolve_device("cuda" if settings.device == "auto" else settings.device)
    return TensorRtEngine(package, device, settings.precision, settings.cache)


def _make_torch(package: ModelPackage, settings: RuntimeSettings) -> Engine:
    if not _has_torch():
        raise EngineError("torch is not installed", hint="pip install 'clickseg[gpu]'")
    from clickseg.inference.engines.torch_engine import TorchEngine

    return TorchEngine(package, settings.device, settings.precision)


def _resolve_auto(package: ModelPackage, device: str) -> Runtime:
    """Returns the runtime for a device; TorchScript in a folder needs ``--engine torch``, unless the user named it."""
    has_torch_weights = package.has_weights("model.pt") or (package.may_run_script and package.has_weights(TORCHSCRIPT))
    wants_cuda = device.startswith("cuda") or (device == "auto" and has_cuda_device())
    if wants_cuda and has_torch_weights and (_has_torch() or device != "auto"):
        return Runtime.TORCH
    if package.has_weights("model.xml") and not device.startswith("cuda"):
        return Runtime.OPENVINO
    if has_torch_weights:
        return Runtime.TORCH
    hint = "--engine torch runs its TorchScript program: only for trusted packages"
    raise EngineError(
        f"model {package.name}: no weights that can be loaded: expected model.xml or model.pt",
        hint=hint if package.has_weights(TORCHSCRIPT) else None,
    )


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None
