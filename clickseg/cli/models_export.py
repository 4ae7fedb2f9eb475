"""``clickseg models export``: converts the torch weights of a model package for OpenVINO or TensorRT."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from clickseg.batch.plan import make_plan
from clickseg.batch.settings import RunSettings, read_settings
from clickseg.batch.steps import load_cases
from clickseg.cli.terminal import print_lines
from clickseg.core.arrays import Float32Array
from clickseg.core.errors import ClickSegError, InputError, UsageError
from clickseg.core.progress import no_progress
from clickseg.inference.case import PreprocessedCase
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.incremental import IncrementalInference
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.model_input import ModelInput
from clickseg.inference.preprocess import preprocess
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings, read_runtime_settings
from clickseg.inference.sliding_window import SlidingWindow, constant_channel_values
from clickseg.models.package import load_package

_MAX_WINDOWS = 64


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code.

    Raises:
        UsageError: The options cannot be combined.
        ClickSegError: The weights cannot be converted.
    """
    if arguments.models is not None:
        raise UsageError("-m is an option of clickseg models list, not of clickseg models export")
    options = {name: getattr(arguments, name) for name in ("engine", "precision", "device", "cache")}
    print_lines(export(arguments.package, arguments.calibrate, options, os.environ))
    return 0


def export(
    package: Path, calibration_folder: Path | None, options: Mapping[str, str | None], environ: Mapping[str, str]
) -> list[str]:
    """Converts weights.

    Args:
        package: The folder of the model package.
        calibration_folder: A folder of DICOM series and clicks to calibrate int8 on; None for other precisions.
        options: ``engine`` (openvino or tensorrt), ``precision``, ``device`` and ``cache``; None if not given.
        environ: Environment variables.

    Returns:
        The files that were written, one a line; after them, for int8, the agreement with f32.

    Raises:
        UsageError: The options cannot be combined.
        ClickSegError: The weights cannot be converted.
    """
    precision = options["precision"]
    if options["engine"] == "tensorrt":
        return _export_tensorrt(package, options, environ)
    if precision == "int8":
        return _export_int8(package, calibration_folder, environ)
    if precision not in (None, "f32"):
        raise UsageError(
            f"--precision: expected f32 or int8 for OpenVINO, got {precision}",
            hint=f"{precision} requires --engine tensorrt",
        )
    return _export_openvino(package)


def _export_openvino(package: Path) -> list[str]:
    from clickseg.inference.engines.export import export_openvino

    return [str(path) for path in export_openvino(load_package(package))]


def _export_tensorrt(package: Path, options: Mapping[str, str | None], environ: Mapping[str, str]) -> list[str]:
    from clickseg.inference.engines.export import export_tensorrt

    settings = read_runtime_settings(options, environ, package)
    return [str(export_tensorrt(load_package(package), settings))]


def _export_int8(package: Path, calibration_folder: Path | None, environ: Mapping[str, str]) -> list[str]:
    from clickseg.inference.engines.quantize import quantize

    if calibration_folder is None:
        raise UsageError("int8 requires DICOM series for calibration", hint="pass their folder with --calibrate DIR")
    windows = calibration_windows(read_settings(calibration_folder, calibration_folder, package, {}, environ))
    quantized = quantize(load_package(package), windows)
    dice = "".join(f", Dice {name} {value:.4f}" for name, value in quantized.dice.items())
    agreement = f"agreement with f32 on {len(windows)} windows: same class {quantized.agreement:.4%}{dice}"
    return [*map(str, quantized.files), agreement]


def calibration_windows(settings: RunSettings) -> list[Float32Array]:
    """Returns up to 64 evenly spaced windows of an input, without windows that contain only one value, such as air.

    Up to half of them contain clicks. Few windows do; without them, int8 would not be calibrated for click channels.

    Args:
        settings: Settings of a run; no results are written.

    Raises:
        ClickSegError: The input cannot be segmented, or each window contains only one value.
    """
    has_clicks = [has_click for _, has_click in _iterate_windows(settings)]
    if not has_clicks:
        raise InputError(
            f"{settings.input.name}: int8 cannot be calibrated: each window contains only one value, such as air"
        )
    selected = _select_windows(has_clicks)
    return [window for number, (window, _) in enumerate(_iterate_windows(settings)) if number in selected]


def _select_windows(has_clicks: Sequence[bool]) -> set[int]:
    """Returns the numbers of the windows to calibrate on.

    Args:
        has_clicks: For each window, whether it contains clicks.
    """
    with_clicks = [number for number, has_click in enumerate(has_clicks) if has_click]
    without_clicks = [number for number, has_click in enumerate(has_clicks) if not has_click]
    selected = _thin_out(with_clicks, _MAX_WINDOWS // 2)
    return {*selected, *_thin_out(without_clicks, _MAX_WINDOWS - len(selected))}


def _thin_out(numbers: Sequence[int], max_count: int) -> Sequence[int]:
    """Returns every n-th number, at most ``max_count``."""
    return numbers[:: math.ceil(len(numbers) / max_count)] if numbers else ()


def _iterate_windows(settings: RunSettings) -> Iterator[tuple[Float32Array, bool]]:
    """Yields the network input of each window that has more than one value, and whether it contains clicks."""
    for outcome in load_cases(make_plan(settings)):
        if isinstance(outcome.value, ClickSegError):
            raise outcome.value
        case = preprocess(outcome.value)
        spec = case.case.package.spec
        inputs = _replay_clicks(case, settings.runtime) if spec.previous_mask else case.inputs
        for channels in SlidingWindow(inputs, spec).window_inputs():
            if constant_channel_values(channels) is None:
                yield channels, bool(channels[spec.image_channels :].any())


def _replay_clicks(case: PreprocessedCase, settings: RuntimeSettings) -> ModelInput:
    """Runs a model with a previous mask click by click in f32, and returns its input after the last click."""
    f32 = replace(settings, runtime=Runtime.OPENVINO, device="cpu", precision=Precision.F32)
    engine, kernels = make_engine(case.case.package, f32), KernelChoice(settings.cache)
    with closing(IncrementalInference(case, engine, settings.memory, kernels)) as inference:
        inference.run_all(case.case.clicks.points, no_progress)
        return inference.inputs
