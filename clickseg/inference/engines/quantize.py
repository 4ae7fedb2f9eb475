"""Quantizing a package's OpenVINO weights to 8 bits, by what its network is given in some windows (NNCF)."""

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

from clickseg.core.arrays import Values
from clickseg.core.errors import EngineError, ModelError
from clickseg.inference.engines.engine import Precision
from clickseg.inference.engines.export import save_openvino
from clickseg.inference.engines.openvino_engine import CONSTANTS, GRAPH, INT8_GRAPH, OpenVinoEngine
from clickseg.models.package import ModelPackage, load_package
from clickseg.models.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Quantized:
    """What 8 bits cost, on the windows that they were calibrated with.

    Attributes:
        files: The files that were written.
        agreement: The part of the voxels whose classes are those of f32.
        dice: The Dice coefficient with f32, by class; of classes that f32 finds.
    """

    files: tuple[Path, ...]
    agreement: float
    dice: dict[str, float]


def quantize(package: ModelPackage, windows: Sequence[Values]) -> Quantized:
    """Writes ``model_int8.xml`` and ``model_int8.bin`` beside a package's OpenVINO weights.

    Args:
        package: The model; a folder with OpenVINO weights.
        windows: What its network is given, [C, I, J, K] each; at least one.

    Raises:
        EngineError: NNCF is not installed.
        ModelError: The package has no OpenVINO weights.
        OutputError: The package cannot be written to.
    """
    if importlib.util.find_spec("nncf") is None:
        raise EngineError("NNCF is not installed", hint="pip install 'clickseg[export]'")
    if not package.path.is_dir() or not package.has(GRAPH):
        raise ModelError(f"model {package.name}: no {GRAPH} to quantize", hint=f"clickseg export {package.path}")
    network = ov.Core().read_model(str(package.weights(GRAPH).path), str(package.weights(CONSTANTS).path))
    network.reshape([1, package.spec.input_channels, *package.spec.window.roi])
    files = save_openvino(quantized(network, windows), package, INT8_GRAPH)
    agreement, dice = _compared(load_package(package.path), windows)
    return Quantized(files, agreement, dice)


def quantized(network: ov.Model, windows: Sequence[Values]) -> ov.Model:
    """Returns a network in 8 bits, calibrated on windows [C, I, J, K]."""
    with contextlib.redirect_stdout(sys.stderr):  # it draws progress bars
        import nncf

        nncf.set_log_level(logging.ERROR)
        dataset = nncf.Dataset([window[np.newaxis] for window in windows])
        return nncf.quantize(network, dataset, subset_size=len(windows))


def _compared(package: ModelPackage, windows: Sequence[Values]) -> tuple[float, dict[str, float]]:
    engines = [OpenVinoEngine(package, precision) for precision in (Precision.F32, Precision.INT8)]
    pairs = [[_found(engine.infer(window[np.newaxis])[0], package.spec) for engine in engines] for window in windows]
    agreement = float(np.mean([(one == other).all(axis=0).mean() for one, other in pairs]))
    both = sum((one & other).sum(axis=(1, 2, 3)) for one, other in pairs)
    each = sum(one.sum(axis=(1, 2, 3)) + other.sum(axis=(1, 2, 3)) for one, other in pairs)
    found = sum(one.sum(axis=(1, 2, 3)) for one, _ in pairs)
    names = [spec.name for spec in package.spec.classes]
    return agreement, {name: float(2 * both[n] / each[n]) for n, name in enumerate(names) if found[n]}


def _found(logits: Values, spec: ModelSpec) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Returns where each class is in a window, [classes, I, J, K]."""
    if spec.activation == "sigmoid":
        return np.stack([logits[each.channel] > 0 for each in spec.classes])
    highest = logits.argmax(axis=0)
    return np.stack([highest == each.channel for each in spec.classes])
