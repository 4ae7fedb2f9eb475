"""The OpenVINO engine, which runs on the CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import openvino as ov

from clickseg.core.arrays import Float32Array
from clickseg.core.cache import CacheEntry
from clickseg.core.errors import EngineError
from clickseg.core.machine import processor_count
from clickseg.core.text import format_count
from clickseg.inference.engines.engine import Precision
from clickseg.inference.engines.normalization import make_normalization_accurate
from clickseg.models.package import ModelPackage, WeightsFile

GRAPH, CONSTANTS = "model.xml", "model.bin"
INT8_GRAPH, INT8_CONSTANTS = "model_int8.xml", "model_int8.bin"


class OpenVinoEngine:
    """A network that is compiled for a batch of one window and a fixed number of threads.

    Batch size and number of threads are part of the fingerprint, because they affect the last bits of the logits.
    """

    device = "cpu"
    batch = 1

    def __init__(self, package: ModelPackage, precision: Precision, cache: Path | None = None) -> None:
        """Compiles a network, or loads it from the cache.

        Args:
            package: The model.
            precision: The number type of the computation.
            cache: The folder for compiled networks; None for no cache.
        """
        core = openvino_core()
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        chosen = _resolve_precision(precision, capabilities)
        self.precision: str = chosen.value
        self._threads = processor_count()
        self._processor = f"{core.get_property('CPU', 'FULL_DEVICE_NAME')} ({' '.join(sorted(capabilities))})"
        self.weights: tuple[WeightsFile, ...] = _load_weights(package, chosen)
        self._network = self._compile(core, package, cache)
        self._request = self._network.create_infer_request()

    def infer(self, batch: Float32Array) -> Float32Array:
        """Returns logits [B, O, I, J, K] of windows [B, C, I, J, K]; the next call overwrites the array."""
        try:
            outputs = self._request.infer([batch], share_inputs=True, share_outputs=True)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed with input {list(batch.shape)}: {_last_line(error)}") from error
        logits: Float32Array = outputs[0]
        return logits

    def with_half_batch(self) -> None:
        """Returns None: the batch size is 1."""
        return

    def describe(self) -> Mapping[str, str | int]:
        """Returns the engine fingerprint."""
        return {
            "engine": "openvino",
            "version": ov.__version__.partition("-")[0],
            "device": self.device,
            "processor": self._processor,
            "precision": self.precision,
            "threads": self._threads,
            "batch": self.batch,
        }

    def close(self) -> None:
        """Frees the memory of the network; the engine cannot be used afterwards."""
        del self._request, self._network

    def _compile(self, core: ov.Core, package: ModelPackage, cache: Path | None) -> ov.CompiledModel:
        spec, (constants, graph) = package.spec, self.weights
        options = {
            "INFERENCE_PRECISION_HINT": "f32" if self.precision == Precision.INT8.value else self.precision,
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": 1,
        }

        def compile_network() -> ov.CompiledModel:
            network = core.read_model(str(graph.path), str(constants.path))
            network.reshape([self.batch, spec.input_channels, *spec.window.roi])
            if self.precision == Precision.F32.value:
                make_normalization_accurate(network)
            return core.compile_model(network, "CPU", options)

        depends_on = {
            "weights": [file.sha256 for file in self.weights],
            "roi": spec.window.roi,
            "build": ov.__version__,
            "normalization": "sums of rows",
        }
        entry = CacheEntry(
            cache, "openvino", {**options, **self.describe(), **depends_on, "inputs": spec.input_channels}, ".blob"
        )
        try:
            compiled = _import_from_cache(core, entry, options) or _export_to_cache(compile_network(), entry)
        except RuntimeError as error:
            raise EngineError(
                f"model {package.name}: OpenVINO cannot run {graph.path.name}: {_last_line(error)}"
            ) from error
        _check_output(compiled, package)
        return compiled


@cache
def openvino_core() -> ov.Core:
    """Returns the OpenVINO runtime of this process, which is never freed.

    Its CPU plugin replaces the signal stack of the thread, and restores the old one when it is freed. If two runtimes
    are not freed in the reverse order, the thread is left with a stack that is unmapped memory, and the next signal
    with a handler kills the process (OpenVINO 2026.4).
    """
    return ov.Core()


def _resolve_precision(wanted: Precision, capabilities: list[str]) -> Precision:
    """Returns the precision to use; ``auto`` is bf16 if the processor supports it, else f32."""
    supported = (Precision.F32, *((Precision.BF16,) if "BF16" in capabilities else ()), Precision.INT8)
    if wanted is Precision.AUTO:
        return Precision.BF16 if Precision.BF16 in supported else Precision.F32
    if wanted not in supported:
        names = ", ".join(precision.value for precision in supported)
        raise EngineError(f"OpenVINO supports {names} on this processor, not {wanted.value}")
    return wanted


def _load_weights(package: ModelPackage, precision: Precision) -> tuple[WeightsFile, ...]:
    if precision is not Precision.INT8:
        return package.verify_weights(CONSTANTS), package.verify_weights(GRAPH)
    if not package.has_weights(INT8_GRAPH):
        raise EngineError(
            f"model {package.name}: no int8 weights",
            hint=f"run clickseg models export {package.path} --precision int8 --calibrate DIR",
        )
    return package.verify_weights(INT8_CONSTANTS), package.verify_weights(INT8_GRAPH)


def _import_from_cache(core: ov.Core, entry: CacheEntry, options: Mapping[str, object]) -> ov.CompiledModel | None:
    content = entry.read()
    try:
        return None if content is None else core.import_model(content, "CPU", options)
    except RuntimeError:  # another build of OpenVINO has written it
        return None


def _export_to_cache(compiled: ov.CompiledModel, entry: CacheEntry) -> ov.CompiledModel:
    with contextlib.suppress(RuntimeError):  # some networks cannot be exported
        if entry.path is not None:
            entry.write(compiled.export_model().getvalue())
    return compiled


def _check_output(compiled: ov.CompiledModel, package: ModelPackage) -> None:
    expected = (1, package.spec.output_channels, *package.spec.window.roi)
    shape = tuple(compiled.output(0).shape)
    number_type = compiled.output(0).element_type.get_type_name()
    if number_type != "f32":
        raise EngineError(f"model {package.name}: expected logits in f32, got {number_type}")
    if len(compiled.outputs) != 1 or shape != expected:
        raise EngineError(
            f"model {package.name}: expected one output {list(expected)}, "
            f"got {format_count(len(compiled.outputs), 'output')}, the first {list(shape)}"
        )


def _last_line(error: RuntimeError) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
