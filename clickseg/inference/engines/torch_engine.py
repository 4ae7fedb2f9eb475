"""The torch engine, on the CPU and on CUDA: MONAI networks with a state dict, and TorchScript on request."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch

from clickseg.core.arrays import Float32Array
from clickseg.core.errors import EngineError
from clickseg.core.text import first_line
from clickseg.inference.engines.cuda import run_network
from clickseg.inference.engines.cuda_runtime import check_driver, has_cuda_device
from clickseg.inference.engines.engine import Precision, gpu_batch_size
from clickseg.inference.engines.main_output import MainOutput
from clickseg.inference.engines.network import build_network
from clickseg.models.package import TORCHSCRIPT, ModelPackage, WeightsFile

STATE_DICT = "model.pt"

_LOAD_ERRORS = (
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)

_CUDNN = {"enabled": True, "benchmark": False, "deterministic": True, "allow_tf32": False}
"""Deterministic kernels, and full f32 precision without TF32."""

_TYPES = {Precision.F32: torch.float32, Precision.BF16: torch.bfloat16, Precision.F16: torch.float16}


class TorchEngine:
    """A network in evaluation mode, in f32 or with autocast."""

    def __init__(self, package: ModelPackage, device: str, precision: Precision) -> None:
        self.device = resolve_device(device)
        self._precision = _resolve_precision(precision, self.device)
        self.batch = 1 if self.device == "cpu" else gpu_batch_size(package.spec)
        self.weights: tuple[WeightsFile, ...] = (
            package.verify_weights(STATE_DICT if package.has_weights(STATE_DICT) else TORCHSCRIPT),
        )
        network = load_module(package)
        self._network = MainOutput(network).eval().to(self.device)
        self._layout = memory_layout(network, self.device, self._precision)
        set_memory_layout(network, self._layout)
        self._package = package

    @property
    def precision(self) -> str:
        """The number type of the computation."""
        return self._precision.value

    def infer(self, batch: Float32Array) -> Float32Array:
        """Returns logits [B, O, I, J, K] of windows [B, C, I, J, K]."""
        logits = run_network(self._run, batch, self.device, "torch")
        expected = (len(batch), self._package.spec.output_channels, *batch.shape[2:])
        if logits.shape != expected:
            raise EngineError(f"model {self._package.name}: expected logits {expected}, got {logits.shape}")
        return logits

    def with_half_batch(self) -> TorchEngine | None:
        """Returns the same network with half the batch size; None if the batch size is 1."""
        if self.batch == 1:
            return None
        torch.cuda.empty_cache()
        half = copy.copy(self)
        half.batch = self.batch // 2
        return half

    def describe(self) -> Mapping[str, str | int]:
        """Returns the engine fingerprint."""
        on_cpu = self.device == "cpu"
        return {
            "engine": "torch",
            "version": torch.__version__,
            "device": self.device,
            "processor": torch.backends.cpu.get_cpu_capability() if on_cpu else gpu_description(self.device),
            "precision": self.precision,
            "threads": torch.get_num_threads(),
            "batch": self.batch,
        }

    def close(self) -> None:
        """Frees the memory of the network, also for other processes; the engine cannot be used afterwards."""
        del self._network
        if self.device != "cpu":
            torch.cuda.empty_cache()

    def _run(self, windows: torch.Tensor) -> torch.Tensor:
        with self._autocast(), torch.backends.cudnn.flags(**_CUDNN):
            logits: torch.Tensor = self._network(windows.contiguous(memory_format=self._layout))
        return logits

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = _TYPES[self._precision]
        return torch.autocast(self.device.partition(":")[0], dtype=dtype, enabled=dtype is not torch.float32)


def resolve_device(device: str) -> str:
    """Returns the device for a setting: ``auto`` is CUDA if torch finds a CUDA device, else the CPU.

    Raises:
        EngineError: The setting names a CUDA device and torch finds none; or the driver of the GPU is too old.
    """
    if device == "cpu" or torch.cuda.is_available():
        return "cuda" if device == "auto" else device
    if device != "auto" or (torch.version.cuda is not None and has_cuda_device()):
        check_driver()
    if device == "auto":
        return "cpu"
    if device.startswith("cuda"):
        raise EngineError(
            "torch finds no CUDA device",
            hint="use --device cpu, or install a build of torch for the GPU of this machine",
        )
    return device


def gpu_description(device: str) -> str:
    """Returns the GPU and the versions of CUDA and cuDNN, on which the choice of kernels depends."""
    name = torch.cuda.get_device_name(device)
    cudnn_version: Callable[[], int] = torch.backends.cudnn.version
    return f"{name} (CUDA {torch.version.cuda}, cuDNN {cudnn_version()})"


def _resolve_precision(wanted: Precision, device: str) -> Precision:
    """Returns the precision to use; ``auto`` is f16 on CUDA, bf16 on processors with bf16 instructions, else f32."""
    if wanted is Precision.AUTO:
        return Precision.F16 if device != "cpu" else Precision.BF16 if has_bf16_instructions() else Precision.F32
    if wanted not in _TYPES:
        names = ", ".join(precision.value for precision in _TYPES)
        raise EngineError(f"torch supports {names}, not {wanted.value}")
    return wanted


def has_bf16_instructions() -> bool:
    """Whether this processor has bf16 instructions."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def memory_layout(network: torch.nn.Module, device: str, precision: Precision) -> torch.memory_format:
    """Returns the memory layout in which a network is faster, and accurate.

    Convolutions are faster with channels last on the CPU, and on GPUs with less precision than f32, with exceptions:

    - torch computes instance normalization with channels first, so each of its tensors would be converted twice: a
      network with such normalizations would be no faster, or slower.
    - On the CPU, torch computes group normalization with channels last from the mean of squares. Where a channel varies
      by 1 % of its mean, the relative error is 1e-2; with channels first it is 7e-6 (torch 2.13).
    - TorchScript may use tensor views that are invalid with channels last.
    """
    modules = tuple(network.modules())
    is_faster = device == "cpu" or precision is not Precision.F32
    is_slower = any(isinstance(module, torch.nn.InstanceNorm3d) for module in modules)
    is_inaccurate = device == "cpu" and any(isinstance(module, torch.nn.GroupNorm) for module in modules)
    is_script = isinstance(network, torch.jit.ScriptModule)
    use_channels_last = is_faster and not (is_slower or is_inaccurate or is_script)
    return torch.channels_last_3d if use_channels_last else torch.contiguous_format


def set_memory_layout(network: torch.nn.Module, layout: torch.memory_format) -> None:
    """Sets the memory layout of the kernels of a network's 3D convolutions."""
    for parameter in network.parameters():
        if parameter.dim() == 5:
            parameter.data = parameter.data.contiguous(memory_format=layout)


def load_module(package: ModelPackage) -> torch.nn.Module:
    """Returns the network of a package: from its state dict, or else its TorchScript program."""
    return load_network(package) if package.has_weights(STATE_DICT) else _load_script(package)


def load_network(package: ModelPackage) -> torch.nn.Module:
    """Builds the network that ``inference.json`` defines, and loads its weights; all keys must match."""
    weights = package.verify_weights(STATE_DICT)
    network = build_network(package)
    try:
        state = torch.load(weights.path, map_location="cpu", weights_only=True)
        network.load_state_dict(state.get("model", state) if isinstance(state, dict) else state, strict=True)
    except _LOAD_ERRORS as error:
        is_unsafe = isinstance(error, pickle.UnpicklingError)  # its own message suggests to load the file anyway
        reason = "it contains objects other than tensors" if is_unsafe else _load_reason(error)
        raise EngineError(f"model {package.name}: {STATE_DICT} does not fit network_def: {reason}") from error
    return network


def _load_reason(error: Exception) -> str:
    """Returns why weights cannot be loaded: torch lists the names of weights after a line that is always the same."""
    first, *details = [line.strip() for line in str(error).splitlines()] or [""]
    return details[0] if details and first.startswith("Error(s) in loading state_dict") else first_line(error)


def _load_script(package: ModelPackage) -> torch.nn.Module:
    try:
        load: Callable[..., torch.nn.Module] = torch.jit.load
        network = load(str(package.verify_weights(TORCHSCRIPT).path), map_location="cpu")
    except RuntimeError as error:
        raise EngineError(f"model {package.name}: {TORCHSCRIPT} cannot be loaded: {first_line(error)}") from error
    return network
