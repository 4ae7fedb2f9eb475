"""All commands and options of ``clickseg``, with their help: a new one is added here; nothing slow is imported.

An option of a run also is an environment variable; ``clickseg.batch.settings`` reads its value (those that concern the
network: ``clickseg.inference.runtime_settings``). The value of any other option is read by ``run`` in the command's
module.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from clickseg.core.options import variable
from clickseg.core.version import __version__

AddArguments = Callable[[argparse.ArgumentParser], None]
"""Adds the arguments of a command to its parser."""

OPTIONS = {
    "model": "name of the model package (default: the one that fits the series)",
    "clicks": "files of clicks, or 'none' to use none (default: the click file or SR in the input)",
    "clicks-frame": "what a click file's numbers are where it names no frame: voxel or lps (default: voxel)",
    "series": "Series Instance UIDs to use, separated by commas (default: every series that the model is for)",
    "engine": "auto, openvino, torch or tensorrt (default: auto)",
    "device": "auto, cpu, cuda or cuda:N (default: auto)",
    "precision": "auto, f32, bf16, f16 or int8 (default: auto: bf16 or f16 where the device is made for it, else f32)",
    "remedy": "what to do with a series that is no volume as it is, separated by commas (default: refuse it)",
    "segmentation-type": "BINARY or LABELMAP (default: BINARY)",
    "postprocessing": "on or off (default: on, as the model package says)",
    "nifti": "on to write the label map as NIfTI too (default: off)",
    "cache": "folder for compiled networks (default: ~/.cache/clickseg)",
    "memory-limit": "memory that a run may take, such as 8G (default: what the machine or the container has)",
    "statistics": "on to put the statistics of each segment's values into the report (default: off)",
}
"""The options of a run by name, with their help. The command line wins over the environment."""

_FLAGS = {"nifti": "on", "statistics": "on"}
"""Options that are flags on the command line, and the value that a flag stands for."""

_REPEATED = {"clicks": os.pathsep, "remedy": ",", "series": ","}
"""Options that can be given several times, and what separates their values in one."""

_NOT_REFINED = ("clicks", "clicks-frame", "series")
"""Options of what a session has already."""

_EVALUATED = ("engine", "device", "precision", "postprocessing", "cache", "memory-limit")
"""Options of a run that evaluation has too."""

_TRUTH = "names of a class in SEG and RTSTRUCT, separated by commas; once for each class, in the model's order"

_PROTOCOLS = ("cvpr2025", "sw-fastedit", "autopet4")


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """Returns the arguments; ``module`` names the module of ``clickseg.cli`` whose ``run`` takes them.

    Args:
        argv: The arguments, without the program's name.
    """
    parser = argparse.ArgumentParser(prog="clickseg", description="Segment DICOM series, guided by clicks.")
    parser.add_argument("--version", action="version", version=f"clickseg {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, module: str, add_arguments: AddArguments, description: str) -> None:
        command = commands.add_parser(name, help=description, description=description)
        command.add_argument("-q", "--quiet", action="store_true", help="log warnings and errors only")
        command.add_argument("--debug", action="store_true", help="log everything, and show where an error was raised")
        command.set_defaults(module=module)
        add_arguments(command)

    add("segment", "segment", _add_segment, "segment the series in a folder")
    add("refine", "session", _add_refine, "go on with a session: add, remove or undo a click")
    add("inspect", "inspection", _add_inspect, "show the series in a folder, and what is wrong with them")
    add("models", "models", _add_models, "show the model packages at hand")
    add("clicks", "clicks", _add_clicks, "show, check and convert a file of clicks")
    add("exec", "exec", _add_exec, "run a MONAI Deploy application on a folder")
    add("demo", "demo", _add_demo, "make a phantom study with clicks, and segment it")
    add("evaluate", "evaluate", _add_evaluate, "measure a model on labelled cases, with simulated clicks")
    add("export", "export", _add_export, "convert a model package's torch weights for another runtime")
    add("train", "train", _add_train, "train a network with simulated clicks, to a model package")
    add("package", "package", _add_package, "build a container image (MONAI Application Package)")
    add("run", "run_image", _add_run, "run a container image on a folder")
    return parser.parse_args(_joined(argv))


def options_of(arguments: argparse.Namespace) -> dict[str, str | None]:
    """Returns the options of a run by name, each as one value."""
    options: dict[str, Any] = {name: getattr(arguments, name.replace("-", "_"), None) for name in OPTIONS}
    given = {name: separator.join(options[name]) for name, separator in _REPEATED.items() if options[name] is not None}
    return {**options, **given}


def _path(text: str) -> Path:
    """Reads a path; an empty one is an unset variable of a shell, and not the present folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got nothing")
    return Path(text)


def _joined(argv: Sequence[str]) -> list[str]:
    """Returns arguments in which a place that begins with a minus is the value of --add, and no option."""
    joined: list[str] = []
    for argument in argv:
        if joined and joined[-1] == "--add" and argument[:1] == "-" and "," in argument:
            joined[-1] = f"--add={argument}"
        else:
            joined.append(argument)
    return joined


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--models", type=Path, metavar="MODELS", help="model package, or a folder of them")


def _add_options(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    _add_models(parser)
    for name in names:
        shown = f"{OPTIONS[name]} [{variable(name)}]"
        if name in _FLAGS:
            parser.add_argument(f"--{name}", action="store_const", const=_FLAGS[name], help=shown)
        elif name in _REPEATED:
            parser.add_argument(f"--{name}", action="append", metavar=name.upper(), help=shown)
        else:
            parser.add_argument(f"--{name}", metavar=name.rpartition("-")[2].upper(), help=shown)


def _add_segment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=_path, metavar="DIR", help="folder of DICOM, or one file")
    parser.add_argument("-o", "--output", type=_path, required=True, metavar="OUT", help="folder for the results")
    parser.add_argument("--session", type=_path, metavar="FOLDER", help="open a session, for clickseg refine")
    _add_options(parser, OPTIONS)


def _add_refine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=_path, metavar="DIR", help="folder of the session's DICOM series")
    parser.add_argument("-o", "--output", type=_path, required=True, metavar="OUT", help="folder for the results")
    parser.add_argument("--session", type=_path, required=True, metavar="FOLDER", help="folder of the session")
    step = parser.add_mutually_exclusive_group()
    step.add_argument("--add", metavar="X,Y,Z", help="add a click at LPS mm")
    step.add_argument("--remove", type=int, metavar="N", help="remove a click, counted from 1")
    step.add_argument("--undo", action="store_true", help="take the last step back")
    step.add_argument("--redo", action="store_true", help="do again what was undone")
    step.add_argument("--reset", action="store_true", help="remove all clicks")
    parser.add_argument("--label", default="", metavar="L", help="of the click that is added")
    parser.add_argument("--background", action="store_true", help="the click says what is not of its label")
    parser.add_argument("--user", default="", metavar="NAME", help="who does it, for the session's log")
    _add_options(parser, (name for name in OPTIONS if name not in _NOT_REFINED))


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=_path, metavar="DIR", help="folder of DICOM, or one file")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--remedy", action="append", default=[], metavar="REMEDY", help="see clickseg segment")


def _add_clicks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="file of clicks, of any form")
    parser.add_argument("--series", type=Path, metavar="DIR", help="folder of the DICOM series that the clicks are on")
    parser.add_argument("--to", metavar="FORM", help="write them in another form")
    parser.add_argument("-o", "--output", dest="to_file", type=Path, metavar="OUT", help="where to (default: stdout)")
    parser.add_argument("--clicks-frame", default="voxel", metavar="FRAME", help=OPTIONS["clicks-frame"])


def _add_exec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "app", nargs="?", type=Path, default=Path("app"), metavar="APP", help="application (default: ./app)"
    )
    parser.add_argument("-i", "--input", type=Path, help="input folder or file [HOLOSCAN_INPUT_PATH]")
    parser.add_argument("-o", "--output", type=Path, help="output folder [HOLOSCAN_OUTPUT_PATH]")
    parser.add_argument("-m", "--model", type=Path, help="model packages [HOLOSCAN_MODEL_PATH]")
    parser.add_argument("-w", "--workdir", type=Path, help="work folder [HOLOSCAN_WORKDIR]")
    parser.add_argument("-l", "--log-level", type=str.upper, choices=["DEBUG", "INFO", "WARN", "ERROR", "CRITICAL"])


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=_path, default=Path("demo"), metavar="DIR", help="default: ./demo")
    _add_models(parser)
    parser.add_argument("--study-only", action="store_true", help="make the study, and segment nothing")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="folder of a model package, or its name")
    parser.add_argument("input", type=_path, metavar="DATA", help="labelled cases: a folder, or a datalist")
    parser.add_argument("-o", "--output", type=_path, required=True, metavar="REPORT", help="folder for the report")
    parser.add_argument(
        "--protocol", choices=_PROTOCOLS, default="cvpr2025", help="where clicks are (default: cvpr2025)"
    )
    parser.add_argument("--clicks", dest="steps", type=int, metavar="N", help="steps (default: the protocol's own)")
    parser.add_argument("--seed", type=int, metavar="SEED", help="of the simulated clicks (default: 42)")
    parser.add_argument("--fold", type=int, action="append", default=[], metavar="N", help="only this part, from 0")
    parser.add_argument("--folds", type=int, default=5, metavar="K", help="how many parts there are (default: 5)")
    parser.add_argument("--truth", action="append", default=[], metavar="NAMES", help=_TRUTH)
    _add_options(parser, _EVALUATED)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("package", type=_path, metavar="PACKAGE", help="folder of a model package with models/model.pt")
    parser.add_argument("--engine", choices=("openvino", "tensorrt"), default="openvino", help="default: openvino")
    parser.add_argument("--precision", choices=("f32", "f16", "int8"), help="default: f32; f16 for tensorrt")
    parser.add_argument("--calibrate", type=_path, metavar="DIR", help="series and clicks that int8 is calibrated on")
    parser.add_argument("--device", metavar="DEVICE", help="the GPU to compile for, for tensorrt: cuda or cuda:N")
    parser.add_argument("--cache", metavar="CACHE", help="folder for compiled networks, for tensorrt")


def _add_train(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="dataset: a folder or a datalist (docs/datasets.md)")
    add("-o", "--output", dest="run_folder", type=Path, required=True, metavar="RUN", help="folder of the run")
    add("-c", "--config", action="append", metavar="CONFIG", help="YAML file or preset; later ones count (pet_lesion)")
    add("--set", action="append", default=[], metavar="PATH=VALUE", help="such as optimization.learning_rate=0.01")
    add("--fold", type=int, metavar="N", help="hold out this part of the cases, from 0")
    add("--folds", type=int, default=5, metavar="K", help="how many parts there are (default: 5)")
    add("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda or cuda:N (default: auto)")
    add("--print-config", action="store_true", help="print the whole configuration, and train nothing")


def _add_package(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("app", nargs="?", type=Path, default=Path("app"), metavar="APP", help="application's folder (default: ./app)")
    add("-t", "--tag", required=True, help="name of the image, such as clickseg:cpu")
    add("--target", choices=("cpu", "gpu"), default="cpu", help="default: cpu")
    add("-b", "--base-image", metavar="IMAGE", help="base image (default: docs/container.md)")
    add("-m", "--model", "--models", action="append", type=Path, metavar="DIR", help="model package, or folder of them")
    add("--no-models", action="store_true", help="none in the image: they are mounted when it is run")
    add("-d", "--docs", type=Path, metavar="DIR", help="documents for the image (default: those of ClickSeg)")
    add("-o", "--output", dest="tar_folder", type=Path, metavar="DIR", help="also write the image to DIR, as a tar")
    add("--wheels", type=Path, metavar="DIR", help="install from this folder of wheels, and from no index")
    add("--network", metavar="MODE", help="network of the build, as the builder names it")
    add("-n", "--no-cache", action="store_true", help="do not use steps of earlier builds")
    add("--version", dest="app_version", default=__version__, metavar="VERSION", help=f"default: {__version__}")


def _add_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("image", metavar="IMAGE", help="container image")
    add("input", type=Path, metavar="IN", help="folder of DICOM")
    add("results", type=Path, metavar="OUT", help="folder for the results")
    add("--clicks", action="append", default=[], metavar="FILE", help="click file; several count together; or none")
    add("-m", "--models", type=Path, metavar="MODELS", help="model packages instead of those in the image")
    add("--gpus", metavar="GPUS", help="GPUs to use, such as all (default: none)")
    add("--cache", type=Path, metavar="DIR", help="keep compiled networks here, for the next run")
