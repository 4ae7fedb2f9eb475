"""TensorRT on CUDA: compiled on the GPU that runs it, from the package's torch weights, and kept in the cache.

TensorRT calls a network that is compiled for one GPU a plan. Networks are strongly typed, as they always are since
TensorRT 11: each value is computed in the type that it has.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import tensorrt as trt
import torch

from clickseg.core.arrays import Values
from clickseg.core.cache import Slot
from clickseg.core.errors import DeviceMemoryError, EngineError, ModelError
from clickseg.core.validation import read_json
from clickseg.core.version import __version__
from clickseg.inference.engines.cuda import call
from clickseg.inference.engines.cuda_runtime import driver_version
from clickseg.inference.engines.engine import Precision, windows_at_once
from clickseg.inference.engines.onnx_export import LOGITS, WINDOWS, to_onnx
from clickseg.inference.engines.torch_engine import STATE_DICT, load_state
from clickseg.models.package import CONFIG, ModelPackage, Weights

logger = logging.getLogger(__name__)

_PRECISIONS = (Precision.F16, Precision.F32)


class TensorRtEngine:
    """A network compiled for one GPU, one precision, and one number of windows at once.

    TensorRT takes what is fastest by measuring it, so that the logits of two compilations may differ in their last
    bits: the fingerprint holds the SHA-256 of the plan, which is what TensorRT calls a compiled network.
    """

    def __init__(
        self,
        package: ModelPackage,
        device: str,
        precision: Precision,
        cache: Path | None = None,
        batch: int | None = None,
    ) -> None:
        """Takes a plan from the cache, or compiles it, which takes minutes.

        Args:
            package: The model; a folder with torch weights.
            device: ``cuda`` or ``cuda:N``.
            precision: f16 or f32; ``auto`` is f16.
            cache: A folder for compiled networks.
            batch: How many windows at once; by default as many as torch is given.
        """
        self.device = device
        self._precision = _resolve(precision)
        self.batch = batch or windows_at_once(package.spec)
        self.weights: tuple[Weights, ...] = (package.weights(STATE_DICT),)
        self._package, self._cache = package, cache
        self._given = (self.batch, package.spec.input_channels, *package.spec.window.roi)
        self._said = (self.batch, package.spec.output_channels, *package.spec.window.roi)
        with _present(device):
            slot = Slot(cache, "tensorrt", self._depends_on(), ".plan")
            self._plan, self._digest = self._loaded(slot)
        self.plan_file = slot.path

    @property
    def precision(self) -> str:
        """What it computes in."""
        return self._precision.value

    def infer(self, batch: Values) -> Values:
        """Returns logits [B, K, I, J, K] of windows [B, C, I, J, K]."""
        if batch.shape != self._given:
            raise EngineError(f"TensorRT failed in a window of {list(batch.shape)}: it is for {list(self._given)}")
        return call(self._logits, batch, self.device, "TensorRT")

    def smaller(self) -> TensorRtEngine | None:
        """Returns the same network, compiled for half as many windows at once; None where it is one already."""
        if self.batch == 1:
            return None
        torch.cuda.empty_cache()
        return TensorRtEngine(self._package, self.device, self._precision, self._cache, self.batch // 2)

    def describe(self) -> Mapping[str, str | int]:
        """Returns the engine fingerprint."""
        return {
            "engine": "tensorrt",
            "version": trt.__version__,
            "device": self.device,
            "processor": _gpu(self.device),
            "precision": self.precision,
            "batch": self.batch,
            "plan": self._digest,
        }

    def close(self) -> None:
        """Frees the network's memory, also for other processes; the engine runs nothing afterwards."""
        del self._plan
        torch.cuda.empty_cache()

    def _logits(self, windows: torch.Tensor) -> torch.Tensor:
        given = windows.contiguous()
        logits = torch.empty(self._said, device=windows.device)
        self._plan.enqueue({WINDOWS: given.data_ptr(), LOGITS: logits.data_ptr()}, _stream())
        return logits

    def _depends_on(self) -> dict[str, object]:
        """Returns all that a plan depends on, as far as it can be known before it is compiled."""
        return {
            "gpu": _gpu(self.device),
            "versions": [trt.__version__, torch.__version__, __version__],
            "weights": [each.sha256 for each in self.weights],
            "network": read_json(self._package.path / CONFIG, ModelError),
            "precision": self.precision,
            "windows": self._given,
        }

    def _loaded(self, slot: Slot) -> tuple[Plan, str]:
        """Returns the plan and its SHA-256."""
        content = slot.read()
        plan = None if content is None else load_plan(content)
        if content is None or plan is None:
            content = self._compiled()
            slot.write(content)
            plan = load_plan(content)
        if plan is None or plan.shape(LOGITS) != self._said:
            found = "none that can be loaded" if plan is None else str(list(plan.shape(LOGITS)))
            raise EngineError(f"model {self._package.name}: expected logits {list(self._said)}, got {found}")
        return plan, hashlib.sha256(content).hexdigest()

    def _compiled(self) -> bytes:
        logger.info("compiling %s for this GPU with TensorRT: this takes minutes", self._package.name)
        network = load_state(self._package).eval()
        try:
            return build_plan(to_onnx(network, self._given, self._precision))
        except EngineError as error:
            raise EngineError(f"model {self._package.name}: {error}", hint=error.hint) from error


def _resolve(wanted: Precision) -> Precision:
    if wanted is Precision.AUTO:
        return Precision.F16
    if wanted not in _PRECISIONS:
        known = ", ".join(each.value for each in _PRECISIONS)
        raise EngineError(f"TensorRT computes in {known} here, not in {wanted.value}")
    return wanted


def _present(device: str) -> AbstractContextManager[object]:
    """Makes a device the present one, which is what TensorRT takes."""
    return torch.cuda.device(device)


def _stream() -> int:
    return torch.cuda.current_stream().cuda_stream


def _gpu(device: str) -> str:
    """Returns the GPU and its driver: a plan is for these."""
    found = torch.cuda.get_device_properties(device)
    kind = f"compute capability {found.major}.{found.minor}, {found.multi_processor_count} multiprocessors"
    return f"{found.name} ({kind}, driver for CUDA {driver_version()})"


def build_plan(onnx: bytes) -> bytes:
    """Returns a network compiled for the present CUDA device; this takes minutes, and all of the GPU.

    Args:
        onnx: The network; it computes in the types that it names.

    Raises:
        EngineError: TensorRT cannot read or compile it.
    """
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        said = parser.get_error(0).desc() if parser.num_errors else "it does not say why"
        raise EngineError(f"TensorRT cannot read the network: {said}", hint="--engine torch")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # f32 that is f32
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError("TensorRT cannot compile the network: what it logged says why", hint="--engine torch")
    return bytes(plan)


class Plan:
    """A plan that is loaded onto a CUDA device."""

    def __init__(self, runtime: Any, engine: Any, context: Any) -> None:
        self._holds = runtime, engine  # they have to outlive the context
        self._engine, self._context = engine, context

    def shape(self, name: str) -> tuple[int, ...]:
        """Returns the shape of an input or output."""
        return tuple(self._engine.get_tensor_shape(name))

    def enqueue(self, addresses: Mapping[str, int], stream: int) -> None:
        """Runs the network on a CUDA stream, and does not wait for it.

        Args:
            addresses: Where each input and output is in the device's memory.
            stream: The stream.

        Raises:
            EngineError: It cannot be run.
        """
        are_set = [self._context.set_tensor_address(name, address) for name, address in addresses.items()]
        if not all(are_set) or not self._context.execute_async_v3(stream):
            raise EngineError("TensorRT cannot run the network: what it logged says why")


def load_plan(content: bytes) -> Plan | None:
    """Loads a plan onto the present CUDA device; returns None where it is none for this GPU and version.

    Raises:
        DeviceMemoryError: The device has too little memory for it.
    """
    runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
    engine = runtime.deserialize_cuda_engine(content)
    if engine is None:
        return None
    context = engine.create_execution_context()
    if context is None:
        raise DeviceMemoryError("TensorRT failed to load the network: out of memory", hint="--device cpu")
    return Plan(runtime, engine, context)
