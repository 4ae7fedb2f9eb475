"""``clickseg export``: a package's torch weights for another runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clickseg.errors import UsageError
from clickseg.inference.runtime_settings import read_runtime_settings
from clickseg.models.package import load_package


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
    from clickseg.engines.export import export_openvino

    return [str(path) for path in export_openvino(load_package(package))]


def _tensorrt(package: Path, options: Mapping[str, str | None], environ: Mapping[str, str]) -> list[str]:
    from clickseg.engines.export import export_tensorrt

    settings = read_runtime_settings(options, environ, package)
    return [str(export_tensorrt(load_package(package), settings))]


def _int8(package: Path, calibrate: Path | None, environ: Mapping[str, str]) -> list[str]:
    from clickseg.batch.settings import read_settings
    from clickseg.calibration import calibration_windows
    from clickseg.engines.quantize import quantize

    if calibrate is None:
        raise UsageError("int8 is calibrated on series", hint="name their folder with --calibrate")
    windows = calibration_windows(read_settings(calibrate, calibrate, package, {}, environ))
    made = quantize(load_package(package), windows)
    dice = "".join(f", Dice {name} {value:.4f}" for name, value in made.dice.items())
    return [*map(str, made.files), f"with f32, on {len(windows)} windows: same class {made.agreement:.4%}{dice}"]
