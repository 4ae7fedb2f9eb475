"""Quantizes the OpenVINO weights of a package to 8 bits, calibrated on windows (NNCF)."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov

from clickseg.core.arrays import Float32Array
from clickseg.core.errors import EngineError, ModelError
from clickseg.inference.engines.engine import Precision
from clickseg.inference.engines.export import save_openvino
from clickseg.inference.engines.openvino_engine import CONSTANTS, GRAPH, INT8_GRAPH, OpenVinoEngine, openvino_core
from clickseg.models.package import ModelPackage, load_package
from clickseg.models.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class QuantizationResult:
    """The int8 weights of a package, and the agreement of their results with f32 on the calibration windows.

    Attributes:
        files: The written files.
        agreement: The fraction of voxels that have the same classes as with f32.
        dice: The Dice coefficient between int8 and f32, for each class that f32 finds.
    """

    files: tuple[Path, ...]
    agreement: float
    dice: dict[str, float]


def quantize(package: ModelPackage, windows: Sequence[Float32Array]) -> QuantizationResult:
    """Writes ``model_int8.xml`` and ``model_int8.bin`` to a package with OpenVINO weights.

    Args:
        package: The model; a folder with OpenVINO weights.
        windows: Inputs of its network, [C, I, J, K] each; at least one.

    Raises:
        EngineError: NNCF is not installed.
        ModelError: The package has no OpenVINO weights.
        OutputError: The package cannot be written to.
    """
    if importlib.util.find_spec("nncf") is None:
        raise EngineError("NNCF is not installed", hint="pip install 'clickseg[export]'")
    if not package.path.is_dir() or not package.has_weights(GRAPH):
        raise ModelError(
            f"model {package.name}: no {GRAPH} to quantize", hint=f"run clickseg models export {package.path} first"
        )
    network = openvino_core().read_model(
        str(package.verify_weights(GRAPH).path), str(package.verify_weights(CONSTANTS).path)
    )
    network.reshape([1, package.spec.input_channels, *package.spec.window.roi])
    files = save_openvino(quantize_network(network, windows), package, INT8_GRAPH)
    agreement, dice = _compare_with_f32(load_package(package.path), windows)
    return QuantizationResult(files, agreement, dice)


def quantize_network(network: ov.Model, windows: Sequence[Float32Array]) -> ov.Model:
    """Returns an int8 network, calibrated on windows [C, I, J, K]."""
    with contextlib.redirect_stdout(sys.stderr):  # NNCF prints progress bars
        import nncf

        nncf.set_log_level(logging.ERROR)
        dataset = nncf.Dataset([window[np.newaxis] for window in windows])
        return nncf.quantize(network, dataset, subset_size=len(windows))


def _compare_with_f32(package: ModelPackage, windows: Sequence[Float32Array]) -> tuple[float, dict[str, float]]:
    """Returns ``agreement`` and ``dice`` of ``QuantizationResult``."""
    engines = [OpenVinoEngine(package, precision) for precision in (Precision.F32, Precision.INT8)]
    pairs = [
        [_class_masks(engine.infer(window[np.newaxis])[0], package.spec) for engine in engines] for window in windows
    ]
    agreement = float(np.mean([(f32 == int8).all(axis=0).mean() for f32, int8 in pairs]))
    intersection = sum((f32 & int8).sum(axis=(1, 2, 3)) for f32, int8 in pairs)
    total = sum(f32.sum(axis=(1, 2, 3)) + int8.sum(axis=(1, 2, 3)) for f32, int8 in pairs)
    f32_voxels = sum(f32.sum(axis=(1, 2, 3)) for f32, _ in pairs)
    names = [spec.name for spec in package.spec.classes]
    return agreement, {name: float(2 * intersection[n] / total[n]) for n, name in enumerate(names) if f32_voxels[n]}


def _class_masks(logits: Float32Array, spec: ModelSpec) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Returns the mask of each class in a window [classes, I, J, K], from its logits [O, I, J, K]."""
    if spec.activation == "sigmoid":
        masks = np.stack([logits[class_spec.channel] > 0 for class_spec in spec.classes])
        if spec.overwrite:  # a class is only where no later one is
            masks[:-1] &= ~np.logical_or.accumulate(masks[:0:-1])[::-1]
        return masks
    channel = np.zeros(logits.shape[1:], np.intp)
    for head in spec.head_channels:
        highest = logits[head].argmax(axis=0)
        channel = np.where(highest > 0, highest + head.start, channel)
    return np.stack([channel == class_spec.channel for class_spec in spec.classes])
