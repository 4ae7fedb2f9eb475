"""``clickseg export``: a package's torch weights for another runtime; int8 is calibrated on windows of real series."""

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
from clickseg.cli.terminal import tell
from clickseg.core.arrays import Values
from clickseg.core.errors import ClickSegError, InputError, UsageError
from clickseg.core.progress import no_progress
from clickseg.inference.case import Prepared
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.incremental import IncrementalInference
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.model_input import ModelInput
from clickseg.inference.preprocess import prepare
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings, read_runtime_settings
from clickseg.inference.sliding_window import SlidingWindow, constants_of
from clickseg.models.package import load_package

_WINDOWS = 64


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code."""
    options = {name: getattr(arguments, name) for name in ("engine", "precision", "device", "cache")}
    tell(export(arguments.package, arguments.calibrate, options, os.environ))
    return 0


def export(
    package: Path, calibrate: Path | None, options: Mapping[str, str | None], environ: Mapping[str, str]
) -> list[str]:
    """Converts weights, and returns lines that say what was written.

    Args:
        package: The folder of the package.
        calibrate: A folder of series and clicks that int8 is calibrated on.
        options: ``engine`` (openvino, tensorrt), ``precision``, ``device`` and ``cache``, each where it is given.
        environ: Environment variables.

    Raises:
        UsageError: The options do not go together.
        ClickSegError: What is asked for cannot be made.
    """
    precision = options["precision"]
    if options["engine"] == "tensorrt":
        return _tensorrt(package, options, environ)
    if precision == "int8":
        return _int8(package, calibrate, environ)
    if precision not in (None, "f32"):
        raise UsageError(f"OpenVINO weights are f32 or int8, not {precision}", hint="--engine tensorrt")
    return _openvino(package)


def _openvino(package: Path) -> list[str]:
    from clickseg.inference.engines.export import export_openvino

    return [str(path) for path in export_openvino(load_package(package))]


def _tensorrt(package: Path, options: Mapping[str, str | None], environ: Mapping[str, str]) -> list[str]:
    from clickseg.inference.engines.export import export_tensorrt

    settings = read_runtime_settings(options, environ, package)
    return [str(export_tensorrt(load_package(package), settings))]


def _int8(package: Path, calibrate: Path | None, environ: Mapping[str, str]) -> list[str]:
    from clickseg.inference.engines.quantize import quantize

    if calibrate is None:
        raise UsageError("int8 is calibrated on series", hint="name their folder with --calibrate")
    windows = calibration_windows(read_settings(calibrate, calibrate, package, {}, environ))
    made = quantize(load_package(package), windows)
    dice = "".join(f", Dice {name} {value:.4f}" for name, value in made.dice.items())
    return [*map(str, made.files), f"with f32, on {len(windows)} windows: same class {made.agreement:.4%}{dice}"]


def calibration_windows(settings: RunSettings) -> list[Values]:
    """Returns up to 64 windows of an input, evenly spaced; those of one value, such as air, are left out.

    Half of them at most are windows that clicks are in: few are, and without them 8 bits would know nothing of clicks.

    Args:
        settings: As for a run; nothing is written.

    Raises:
        ClickSegError: The input cannot be segmented, or holds nothing but constant windows.
    """
    clicked = [is_clicked for _, is_clicked in _windows(settings)]
    if not clicked:
        raise InputError(f"{settings.input.name}: every window is of one value: nothing to calibrate on")
    chosen = _chosen(clicked)
    return [window for number, (window, _) in enumerate(_windows(settings)) if number in chosen]


def _chosen(clicked: Sequence[bool]) -> set[int]:
    """Returns the numbers of the windows that are taken, given which of all of them have clicks in them."""
    with_clicks = _spread([number for number, is_clicked in enumerate(clicked) if is_clicked], _WINDOWS // 2)
    others = [number for number, is_clicked in enumerate(clicked) if not is_clicked]
    return {*with_clicks, *_spread(others, _WINDOWS - len(with_clicks))}


def _spread(numbers: Sequence[int], most: int) -> Sequence[int]:
    return numbers[:: math.ceil(len(numbers) / most)] if numbers else ()


def _windows(settings: RunSettings) -> Iterator[tuple[Values, bool]]:
    """Yields what the network is given in each window, and whether there are clicks in it."""
    for outcome in load_cases(make_plan(settings)):
        if isinstance(outcome.value, ClickSegError):
            raise outcome.value
        prepared = prepare(outcome.value)
        inputs = _replayed(prepared, settings.runtime) if prepared.case.package.spec.previous_mask else prepared.inputs
        for channels in SlidingWindow(inputs, prepared.case.package.spec).channels():
            if constants_of(channels) is None:
                yield channels, bool(channels[len(prepared.case.package.spec.inputs) :].any())


def _replayed(prepared: Prepared, settings: RuntimeSettings) -> ModelInput:
    """Returns what a model that is given its own result is given for the last click."""
    exact = replace(settings, runtime=Runtime.OPENVINO, device="cpu", precision=Precision.F32)
    engine, kernels = make_engine(prepared.case.package, exact), KernelChoice(settings.cache)
    with closing(IncrementalInference(prepared, engine, settings.memory, kernels)) as inference:
        inference.run_all(prepared.case.clicks.points, no_progress)
        return inference.inputs
