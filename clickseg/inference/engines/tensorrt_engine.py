"""The TensorRT engine: compiles the torch weights of a package on the GPU that runs them, and caches the result.

TensorRT calls a network that is compiled for one GPU a plan. Networks are strongly typed (in TensorRT 11 they always
are): each operation is computed in the number type of its ONNX tensors.
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

from clickseg.core.arrays import Float32Array
from clickseg.core.cache import CacheEntry
from clickseg.core.errors import DeviceMemoryError, EngineError, ModelError
from clickseg.core.validation import read_json
from clickseg.core.version import __version__
from clickseg.inference.engines.cuda import run_network
from clickseg.inference.engines.cuda_runtime import driver_version
from clickseg.inference.engines.engine import Precision, gpu_batch_size
from clickseg.inference.engines.main_output import MainOutput
from clickseg.inference.engines.onnx_export import LOGITS, WINDOWS, to_onnx
from clickseg.inference.engines.torch_engine import STATE_DICT, load_network
from clickseg.models.package import INFERENCE_CONFIG, ModelPackage, WeightsFile

logger = logging.getLogger(__name__)

_PRECISIONS = (Precision.F16, Precision.F32)


class TensorRtEngine:
    """A network that is compiled for one GPU, one precision and one batch size.

    TensorRT measures which kernels are fastest. Two compilations may therefore differ in the last bits of their logits,
    so the fingerprint contains the SHA-256 of the plan.
    """

    def __init__(
        self,
        package: ModelPackage,
        device: str,
        precision: Precision,
        cache: Path | None = None,
        batch: int | None = None,
    ) -> None:
        """Loads a plan from the cache, or compiles it, which takes minutes.

        Args:
            package: The model; a folder with torch weights.
            device: ``cuda`` or ``cuda:N``.
            precision: f16 or f32; ``auto`` is f16.
            cache: The folder for compiled networks; None for no cache.
            batch: The batch size; by default that of torch on CUDA.
        """
        self.device = device
        self._precision = _resolve_precision(precision)
        self.batch = batch or gpu_batch_size(package.spec)
        self.weights: tuple[WeightsFile, ...] = (package.verify_weights(STATE_DICT),)
        self._package, self._cache = package, cache
        self._input_shape = (self.batch, package.spec.input_channels, *package.spec.window.roi)
        self._output_shape = (self.batch, package.spec.output_channels, *package.spec.window.roi)
        with _current_device(device):
            entry = CacheEntry(cache, "tensorrt", self._cache_key(), ".plan")
            self._plan, self._digest = self._load_or_compile(entry)
        self.plan_file = entry.path

    @property
    def precision(self) -> str:
        """The number type of the computation."""
        return self._precision.value

    def infer(self, batch: Float32Array) -> Float32Array:
        """Returns logits [B, O, I, J, K] of windows [B, C, I, J, K]."""
        if batch.shape != self._input_shape:
            raise EngineError(f"TensorRT: expected input {list(self._input_shape)}, got {list(batch.shape)}")
        return run_network(self._run, batch, self.device, "TensorRT")

    def with_half_batch(self) -> TensorRtEngine | None:
        """Returns the same network, compiled for half the batch size; None if the batch size is 1."""
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
            "processor": _gpu_description(self.device),
            "precision": self.precision,
            "batch": self.batch,
            "plan": self._digest,
        }

    def close(self) -> None:
        """Frees the memory of the network, also for other processes; the engine cannot be used afterwards."""
        del self._plan
        torch.cuda.empty_cache()

    def _run(self, windows: torch.Tensor) -> torch.Tensor:
        contiguous = windows.contiguous()
        logits = torch.empty(self._output_shape, device=windows.device)
        self._plan.enqueue({WINDOWS: contiguous.data_ptr(), LOGITS: logits.data_ptr()}, _stream())
        return logits

    def _cache_key(self) -> dict[str, object]:
        """Returns everything that is known before the compilation and that the plan depends on."""
        return {
            "gpu": _gpu_description(self.device),
            "versions": [trt.__version__, torch.__version__, __version__],
            "weights": [file.sha256 for file in self.weights],
            "network": read_json(self._package.path / INFERENCE_CONFIG, ModelError),
            "precision": self.precision,
            "windows": self._input_shape,
        }

    def _load_or_compile(self, entry: CacheEntry) -> tuple[TensorRtPlan, str]:
        """Returns the plan and its SHA-256."""
        content = entry.read()
        plan = None if content is None else load_plan(content)
        if content is None or plan is None:
            content = self._compile()
            entry.write(content)
            plan = load_plan(content)
        if plan is None or plan.shape(LOGITS) != self._output_shape:
            got = "a plan that cannot be loaded" if plan is None else str(list(plan.shape(LOGITS)))
            raise EngineError(f"model {self._package.name}: expected logits {list(self._output_shape)}, got {got}")
        return plan, hashlib.sha256(content).hexdigest()

    def _compile(self) -> bytes:
        logger.info("compiling %s for this GPU with TensorRT: this takes minutes", self._package.name)
        network = MainOutput(load_network(self._package)).eval()
        try:
            return build_plan(to_onnx(network, self._input_shape, self._precision))
        except EngineError as error:
            raise EngineError(f"model {self._package.name}: {error}", hint=error.hint) from error


def _resolve_precision(wanted: Precision) -> Precision:
    if wanted is Precision.AUTO:
        return Precision.F16
    if wanted not in _PRECISIONS:
        names = ", ".join(precision.value for precision in _PRECISIONS)
        raise EngineError(f"TensorRT supports {names}, not {wanted.value}")
    return wanted


def _current_device(device: str) -> AbstractContextManager[object]:
    """Returns a context in which a device is the current CUDA device, as TensorRT needs."""
    return torch.cuda.device(device)


def _stream() -> int:
    return torch.cuda.current_stream().cuda_stream


def _gpu_description(device: str) -> str:
    """Returns the GPU and its driver: a plan can be used only with these."""
    gpu = torch.cuda.get_device_properties(device)
    architecture = f"compute capability {gpu.major}.{gpu.minor}, {gpu.multi_processor_count} multiprocessors"
    return f"{gpu.name} ({architecture}, driver for CUDA {driver_version()})"


def build_plan(onnx: bytes) -> bytes:
    """Returns a network compiled for the current CUDA device; this takes minutes and the full GPU.

    Args:
        onnx: The network; its tensors define the number types of the computation.

    Raises:
        EngineError: TensorRT cannot read or compile the network.
    """
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        reason = parser.get_error(0).desc() if parser.num_errors else "no reason reported"
        raise EngineError(f"TensorRT cannot read the network: {reason}", hint="use --engine torch")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # full f32 precision
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError("TensorRT cannot compile the network: see its log", hint="use --engine torch")
    return bytes(plan)


class TensorRtPlan:
    """A plan that is loaded on a CUDA device."""

    def __init__(self, runtime: Any, engine: Any, context: Any) -> None:
        self._owners = runtime, engine  # must outlive the context
        self._engine, self._context = engine, context

    def shape(self, name: str) -> tuple[int, ...]:
        """Returns the shape of an input or output."""
        return tuple(self._engine.get_tensor_shape(name))

    def enqueue(self, addresses: Mapping[str, int], stream: int) -> None:
        """Starts the network on a CUDA stream without waiting for it.

        Args:
            addresses: The address of each input and output in the memory of the device.
            stream: The stream.

        Raises:
            EngineError: TensorRT cannot run the network.
        """
        are_set = [self._context.set_tensor_address(name, address) for name, address in addresses.items()]
        if not all(are_set) or not self._context.execute_async_v3(stream):
            raise EngineError("TensorRT cannot run the network: see its log")


def load_plan(content: bytes) -> TensorRtPlan | None:
    """Loads a plan on the current CUDA device; returns None if it is not a plan for this GPU and TensorRT version.

    Raises:
        DeviceMemoryError: The device is out of memory.
    """
    runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
    engine = runtime.deserialize_cuda_engine(content)
    if engine is None:
        return None
    context = engine.create_execution_context()
    if context is None:
        raise DeviceMemoryError("TensorRT failed to load the network: out of memory", hint="use --device cpu")
    return TensorRtPlan(runtime, engine, context)
