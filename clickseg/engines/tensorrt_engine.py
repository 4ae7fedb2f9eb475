"""TensorRT on CUDA: compiled on the GPU that runs it, from the package's torch weights, and kept in the cache."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import tensorrt as trt
import torch

from clickseg.arrays import Values
from clickseg.cache import Slot
from clickseg.core.version import __version__
from clickseg.cuda_runtime import driver_version
from clickseg.engines.batch import windows_at_once
from clickseg.engines.engine import Precision
from clickseg.engines.network_call import call
from clickseg.engines.onnx_export import LOGITS, WINDOWS, to_onnx
from clickseg.engines.tensorrt_plan import Plan, build_plan, load_plan
from clickseg.engines.torch_engine import STATE_DICT, load_state
from clickseg.errors import EngineError, ModelError
from clickseg.models.package import CONFIG, ModelPackage, Weights
from clickseg.validation import read_json

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
