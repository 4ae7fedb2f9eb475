"""The options of a run: each is an option of the command line and an environment variable.

To add an option, add it to ``OPTIONS``. ``clickseg.batch.settings`` reads its value;
``clickseg.inference.runtime_settings`` reads the values that concern the network.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from clickseg.core.options import environment_variable
from clickseg.models.importers.options import CHANGE_SEPARATOR

SOURCE_OPTIONS = ("stored-axes", "unit", "preset", "set")
"""The options about models of other tools."""

REPAIRS = "drop-localizers, frame-of-reference, gantry-tilt, incomplete, resample or volume=N"

OPTIONS = {
    "model": "name of the model package (default: the package that fits the series)",
    "clicks": "click file; repeat the option for several files; 'none' uses no clicks "
    "(default: the click file in DIR, else the newest DICOM SR with clicks)",
    "clicks-frame": "coordinates in click files that do not define them: voxel (indices) or lps (mm) (default: voxel)",
    "series": "Series Instance UIDs to use, comma-separated (default: all series that fit the model)",
    "input": "series of an input of the model: name of the input and Series Instance UID; repeat the option for "
    "several inputs (default: by modality and description)",
    "engine": "inference engine: auto, openvino, torch, or the experimental tensorrt "
    "(default: auto: torch on CUDA, else openvino)",
    "device": "device of the network: auto, cpu, cuda or cuda:N; N counts from 0 (default: auto)",
    "precision": "precision of the network: auto, f32, bf16, f16 or int8 "
    "(default: auto: f16 on CUDA, bf16 on CPUs that support it, else f32)",
    "repair": f"repairs allowed for irregular series: {REPAIRS}; repeat the option or separate repairs by commas "
    "(default: reject irregular series)",
    "segmentation-type": "encoding of the DICOM SEG: BINARY, or LABELMAP for classes that do not overlap "
    "(default: BINARY)",
    "postprocessing": "apply the postprocessing of the model package: on or off (default: on)",
    "mirroring": "for models with mirror axes: run the network on the mirror images of each window too: on or off "
    "(default: on)",
    "nifti": "also write the label map as NIfTI (default: off)",
    "cache": "folder for compiled networks and translated models (default: ~/.cache/clickseg)",
    "memory-limit": "maximum memory of the run, such as 8G or 512M "
    "(default: free memory of the machine, or the limit of the container)",
    "stored-axes": "for models of other tools: axes of the training images, such as LPS or RAS, if the model does not "
    "turn images to fixed axes (default: those of DICOM)",
    "unit": "for models of other tools: unit of the first input: HU, SUVbw or none (default: HU for CT, none for MR)",
    "preset": "for files that contain only weights: description of the model (docs/own-model.md lists them); "
    "for TotalSegmentator: total, fast or fastest",
    "set": "for models of other tools: change a value of the description or of the source, such as "
    "window.overlap=0.25; can be repeated",
    "statistics": "add mean, standard deviation, minimum and maximum of each segment to report.json (default: off)",
}
"""The options of a run by name, with their help. The command line takes precedence over the environment."""

_FLAGS = {"nifti": "on", "statistics": "on"}
"""Options that are flags on the command line, and the value that a flag stands for."""

_REPEATABLE = {"clicks": os.pathsep, "input": ",", "repair": ",", "series": ",", "set": CHANGE_SEPARATOR}
"""Options that can be repeated, and the separator of their values in a single value."""

_METAVARS = {
    "clicks": "FILE",
    "clicks-frame": "FRAME",
    "input": "NAME=UID",
    "memory-limit": "SIZE",
    "model": "NAME",
    "mirroring": "on|off",
    "postprocessing": "on|off",
    "segmentation-type": "TYPE",
    "series": "UID",
    "set": "KEY=VALUE",
    "stored-axes": "AXES",
}
"""The placeholders of option values in the help, if not the option's name in capitals."""

_DESTINATIONS = {"input": "input_series"}
"""The attributes of options whose name is that of another argument."""

VARIABLES_HELP = "An option marked [VARIABLE] can also be set with this environment variable."


def run_options(arguments: argparse.Namespace) -> dict[str, str | None]:
    """Returns the options of a run by name, each as a single value; None if an option was not given."""
    options: dict[str, Any] = {name: getattr(arguments, _destination(name), None) for name in OPTIONS}
    joined = {name: sep.join(options[name]) for name, sep in _REPEATABLE.items() if options[name] is not None}
    return {**options, **joined}


def add_models_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``-m``."""
    parser.epilog = VARIABLES_HELP
    parser.add_argument(
        "-m",
        "--models",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="MODELS",
        help="model package, folder of model packages, or model of another tool "
        "(default: ./models, else the default models of ClickSeg) [CLICKSEG_MODELS]",
    )


def add_run_options(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Adds ``-m`` and options of a run."""
    add_models_option(parser)
    add_options(parser, names)


def add_options(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Adds options of a run, each with its environment variable."""
    parser.epilog = VARIABLES_HELP
    for name in names:
        metavar = _METAVARS.get(name, name.upper())
        if name in _FLAGS:
            text = f"{OPTIONS[name]} [{environment_variable(name)}={_FLAGS[name]}]"
            parser.add_argument(f"--{name}", action="store_const", const=_FLAGS[name], help=text)
        elif name in _REPEATABLE:
            text = f"{OPTIONS[name]} [{environment_variable(name)}]"
            parser.add_argument(f"--{name}", action="append", dest=_destination(name), metavar=metavar, help=text)
        else:
            parser.add_argument(f"--{name}", metavar=metavar, help=f"{OPTIONS[name]} [{environment_variable(name)}]")


def _destination(name: str) -> str:
    return _DESTINATIONS.get(name, name.replace("-", "_"))
