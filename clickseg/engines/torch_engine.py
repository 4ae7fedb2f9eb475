"""torch on the CPU and on CUDA: MONAI networks with a state dict, and TorchScript where it was asked for."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from clickseg.arrays import Values
from clickseg.engines.engine import Precision
from clickseg.engines.network_def import build_network
from clickseg.errors import EngineError
from clickseg.models.package import TORCHSCRIPT, ModelPackage, Weights
from clickseg.wording import first_line

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
"""The same kernel each time, and f32 that is f32."""

_TYPES = {Precision.F32: torch.float32, Precision.BF16: torch.bfloat16, Precision.F16: torch.float16}


class TorchEngine:
    """A network in evaluation mode, in f32 or under autocast."""

    batch = 1

    def __init__(self, package: ModelPackage, device: str, precision: Precision) -> None:
        self.device = (
            "cuda" if device == "auto" and torch.cuda.is_available() else "cpu" if device == "auto" else device
        )
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise EngineError("torch finds no CUDA device here")
        self._precision = _resolve(precision, self.device)
        self.weights: tuple[Weights, ...] = (package.weights(STATE_DICT if package.has(STATE_DICT) else TORCHSCRIPT),)
        network = load_state(package) if package.has(STATE_DICT) else _load_script(package)
        self._network = network.eval().to(self.device)
        self._package = package

    @property
    def precision(self) -> str:
        """What it computes in."""
        return self._precision.value

    def infer(self, batch: Values) -> Values:
        """Returns logits [B, K, I, J, K] of windows [B, C, I, J, K]."""
        try:
            with torch.inference_mode(), self._autocast(), torch.backends.cudnn.flags(**_CUDNN):
                logits = self._network(torch.from_numpy(batch).to(self.device)).float().cpu().numpy()
        except RuntimeError as error:
            raise EngineError(
                f"torch failed on {self.device} in a window of {list(batch.shape)}: {first_line(error)}",
                hint="with too little memory: --device cpu, or --precision f16",
            ) from error
        expected = (len(batch), self._package.spec.output_channels, *batch.shape[2:])
        if logits.shape != expected:
            raise EngineError(f"model {self._package.name}: expected logits {expected}, got {logits.shape}")
        return np.asarray(logits)

    def describe(self) -> Mapping[str, str | int]:
        """Returns the engine fingerprint."""
        on_cpu = self.device == "cpu"
        return {
            "engine": "torch",
            "version": torch.__version__,
            "device": self.device,
            "processor": torch.backends.cpu.get_cpu_capability() if on_cpu else _gpu(self.device),
            "precision": self.precision,
            "threads": torch.get_num_threads(),
            "batch": self.batch,
        }

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = _TYPES[self._precision]
        return torch.autocast(self.device.partition(":")[0], dtype=dtype, enabled=dtype is not torch.float32)


def _gpu(device: str) -> str:
    """Returns the GPU, and the versions of CUDA and cuDNN: they choose the kernels."""
    name = torch.cuda.get_device_name(device)
    cudnn_version: Callable[[], int] = torch.backends.cudnn.version
    return f"{name} (CUDA {torch.version.cuda}, cuDNN {cudnn_version()})"


def _resolve(wanted: Precision, device: str) -> Precision:
    """Returns f16 (autocast) on CUDA and f32 on the CPU, unless another precision is wanted."""
    if wanted is Precision.AUTO:
        return Precision.F32 if device == "cpu" else Precision.F16
    if wanted not in _TYPES:
        raise EngineError(f"torch computes in {', '.join(each.value for each in _TYPES)}, not in {wanted.value}")
    return wanted


def load_state(package: ModelPackage) -> torch.nn.Module:
    """Builds the network that ``inference.json`` defines and gives it the weights; every key must fit."""
    weights = package.weights(STATE_DICT)
    network = build_network(package)
    try:
        state = torch.load(weights.path, map_location="cpu", weights_only=True)
        network.load_state_dict(state.get("model", state) if isinstance(state, dict) else state, strict=True)
    except _LOAD_ERRORS as error:
        is_refused = isinstance(error, pickle.UnpicklingError)  # whose advice is to load it all the same
        reason = "it holds something else than tensors" if is_refused else first_line(error)
        raise EngineError(f"model {package.name}: {STATE_DICT} does not fit network_def: {reason}") from error
    return network


def _load_script(package: ModelPackage) -> torch.nn.Module:
    try:
        load: Callable[..., torch.nn.Module] = torch.jit.load
        network = load(str(package.weights(TORCHSCRIPT).path), map_location="cpu")
    except RuntimeError as error:
        raise EngineError(f"model {package.name}: {TORCHSCRIPT} cannot be loaded: {first_line(error)}") from error
    return network
