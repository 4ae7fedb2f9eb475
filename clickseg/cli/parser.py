"""The parser of the command line: all commands and options of ``clickseg``, with their help texts.

To add a command or an option, add it here. This module imports no slow library, so that ``--help`` is fast.

An option of a run is also an environment variable. ``clickseg.batch.settings`` reads its value;
``clickseg.inference.runtime_settings`` reads the values that concern the network. The value of any other option is read
by ``run`` in the module of its command.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from clickseg.cli.renamed import add_renamed_options, reject_renamed_command
from clickseg.core.options import environment_variable
from clickseg.core.version import __version__

AddArguments = Callable[[argparse.ArgumentParser], None]
"""Adds the arguments of a command to its parser."""

AddParser = Callable[..., argparse.ArgumentParser]
"""Adds the parser of a command: ``add_parser`` of the group of the command."""

_REPAIRS = "drop-localizers, frame-of-reference, gantry-tilt, incomplete, resample or volume=N"

OPTIONS = {
    "model": "name of the model package (default: the package that fits the series)",
    "clicks": "click file; repeat the option for several files; 'none' uses no clicks "
    "(default: the click file in DIR, else the newest DICOM SR with clicks)",
    "clicks-frame": "coordinates in click files that do not define them: voxel (indices) or lps (mm) (default: voxel)",
    "series": "Series Instance UIDs to use, comma-separated (default: all series that fit the model)",
    "engine": "inference engine: auto, openvino, torch or tensorrt (default: auto: torch on CUDA, else openvino)",
    "device": "device of the network: auto, cpu, cuda or cuda:N; N counts from 0 (default: auto)",
    "precision": "precision of the network: auto, f32, bf16, f16 or int8 "
    "(default: auto: f16 on CUDA, bf16 on CPUs that support it, else f32)",
    "repair": f"repairs allowed for irregular series: {_REPAIRS}; repeat the option or separate repairs by commas "
    "(default: reject irregular series)",
    "segmentation-type": "encoding of the DICOM SEG: BINARY, or LABELMAP for classes that do not overlap "
    "(default: BINARY)",
    "postprocessing": "apply the postprocessing of the model package: on or off (default: on)",
    "nifti": "also write the label map as NIfTI (default: off)",
    "cache": "folder for compiled networks (default: ~/.cache/clickseg)",
    "memory-limit": "maximum memory of the run, such as 8G or 512M "
    "(default: free memory of the machine, or the limit of the container)",
    "statistics": "add mean, standard deviation, minimum and maximum of each segment to report.json (default: off)",
}
"""The options of a run by name, with their help. The command line takes precedence over the environment."""

_FLAGS = {"nifti": "on", "statistics": "on"}
"""Options that are flags on the command line, and the value that a flag stands for."""

_REPEATABLE = {"clicks": os.pathsep, "repair": ",", "series": ","}
"""Options that can be repeated, and the separator of their values in a single value."""

_METAVARS = {
    "clicks": "FILE",
    "clicks-frame": "FRAME",
    "memory-limit": "SIZE",
    "model": "NAME",
    "postprocessing": "on|off",
    "segmentation-type": "TYPE",
    "series": "UID",
}
"""The placeholders of option values in the help, if not the option's name in capitals."""

_FIXED_IN_SESSION = ("clicks", "clicks-frame", "series")
"""Options of a run that are fixed when a session is opened; ``refine`` does not have them."""

_EVALUATION_OPTIONS = ("engine", "device", "precision", "postprocessing", "cache", "memory-limit")
"""Options of a run that ``evaluate`` has too."""

_PROTOCOLS = ("cvpr2025", "sw-fastedit", "autopet4")

_DICOM_HELP = "folder of DICOM files (searched recursively), or a single file"
_DATA_HELP = "labelled cases: a folder, or a JSON datalist (docs/datasets.md)"
_OUTPUT_HELP = "output folder"
_FOLDS_HELP = "number of folds, if the dataset does not define folds (default: 5)"
_VARIABLES_HELP = "An option marked [VARIABLE] can also be set with this environment variable."


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line.

    Args:
        argv: The arguments, without the program's name.

    Returns:
        The arguments; ``module`` is the module of ``clickseg.cli`` whose ``run`` receives them.

    Raises:
        UsageError: A command or an option was renamed.
        SystemExit: The arguments are invalid, or ask for help or the version.
    """
    reject_renamed_command(argv)
    parser = argparse.ArgumentParser(
        prog="clickseg",
        description="Interactive segmentation of DICOM series (CT, MR, PET) with clicks.",
        epilog="clickseg COMMAND --help shows the options of a command.",
    )
    parser.add_argument(
        "--version", action="version", version=f"clickseg {__version__}", help="print the version and exit"
    )
    parser.set_defaults(quiet=False, debug=False, models=None)
    add = parser.add_subparsers(title="commands", metavar="COMMAND", required=True).add_parser
    _add_command(add, "inspect", "inspection", _add_inspect, "list the DICOM series in a folder and their problems")
    _add_command(add, "segment", "segment", _add_segment, "segment the DICOM series in a folder")
    _add_command(add, "refine", "refine", _add_refine, "add, remove, undo or redo a click in a session")
    _add_command(add, "clicks", "clicks", _add_clicks, "show, check or convert a click file")
    _add_command(add, "models", "models_list", _add_models_commands, "list model packages, or convert their weights")
    _add_command(add, "demo", "demo", _add_demo, "create a phantom PET/CT study with clicks, and segment it")
    _add_command(add, "evaluate", "evaluate", _add_evaluate, "evaluate a model on labelled cases with simulated clicks")
    _add_command(add, "train", "train", _add_train, "train a model on labelled cases with simulated clicks")
    _add_command(add, "package", "package", _add_package, "build a container image (MONAI Application Package)")
    _add_command(add, "run", "run_image", _add_run, "run a container image on a folder of DICOM files")
    _add_command(add, "exec", "exec", _add_exec, "run a MONAI Deploy application as a local process")
    return parser.parse_args(_join_negative_positions(argv))


def run_options(arguments: argparse.Namespace) -> dict[str, str | None]:
    """Returns the options of a run by name, each as a single value; None if an option was not given."""
    options: dict[str, Any] = {name: getattr(arguments, name.replace("-", "_"), None) for name in OPTIONS}
    joined = {name: sep.join(options[name]) for name, sep in _REPEATABLE.items() if options[name] is not None}
    return {**options, **joined}


def _add_command(add_parser: AddParser, name: str, module: str, add_arguments: AddArguments, summary: str) -> None:
    """Adds a command, or a command of a group such as ``models``.

    Args:
        add_parser: Adds the command's parser.
        name: The command's name.
        module: The module of ``clickseg.cli`` with the command's ``run``.
        add_arguments: Adds the command's own arguments.
        summary: The command's help, in lower case and without a full stop.
    """
    command = add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    # Without defaults here, a command of a group keeps the values that were given before its name.
    command.add_argument(
        "-q", "--quiet", action="store_true", default=argparse.SUPPRESS, help="log only warnings and errors"
    )
    command.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="log everything, and print tracebacks of errors"
    )
    command.set_defaults(module=module)
    add_arguments(command)
    add_renamed_options(command, command.prog.partition(" ")[2])


def _parse_path(text: str) -> Path:
    """Returns a path. An empty path is rejected: it is an unset shell variable, not the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty string")
    return Path(text)


def _join_negative_positions(argv: Sequence[str]) -> list[str]:
    """Returns the arguments with a position that begins with a minus sign joined to its ``--add``.

    Otherwise argparse would read ``--add -12.5,40,310`` as two options.
    """
    joined: list[str] = []
    for argument in argv:
        if joined and joined[-1] == "--add" and argument[:1] == "-" and "," in argument:
            joined[-1] = f"--add={argument}"
        else:
            joined.append(argument)
    return joined


def _add_models_option(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _VARIABLES_HELP
    parser.add_argument(
        "-m",
        "--models",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="MODELS",
        help="model package, or folder of model packages "
        "(default: ./models, else the default models of ClickSeg) [CLICKSEG_MODELS]",
    )


def _add_run_options(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Adds ``-m`` and options of a run."""
    _add_models_option(parser)
    for name in names:
        metavar = _METAVARS.get(name, name.upper())
        if name in _FLAGS:
            text = f"{OPTIONS[name]} [{environment_variable(name)}={_FLAGS[name]}]"
            parser.add_argument(f"--{name}", action="store_const", const=_FLAGS[name], help=text)
        elif name in _REPEATABLE:
            text = f"{OPTIONS[name]} [{environment_variable(name)}]"
            parser.add_argument(f"--{name}", action="append", metavar=metavar, help=text)
        else:
            parser.add_argument(f"--{name}", metavar=metavar, help=f"{OPTIONS[name]} [{environment_variable(name)}]")


def _add_segment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=_parse_path, metavar="DIR", help=_DICOM_HELP)
    parser.add_argument("-o", "--output", type=_parse_path, required=True, metavar="OUT", help=_OUTPUT_HELP)
    parser.add_argument(
        "--session",
        type=_parse_path,
        metavar="FOLDER",
        help="open a session for one series in this folder, for clickseg refine",
    )
    _add_run_options(parser, OPTIONS)


def _add_refine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=_parse_path, metavar="DIR", help="folder of the session's DICOM series")
    parser.add_argument("-o", "--output", type=_parse_path, required=True, metavar="OUT", help=_OUTPUT_HELP)
    parser.add_argument(
        "--session",
        type=_parse_path,
        required=True,
        metavar="FOLDER",
        help="folder of the session, opened by clickseg segment --session",
    )
    steps = parser.add_argument_group("steps", "At most one; without a step, the current result is written.")
    step = steps.add_mutually_exclusive_group()
    step.add_argument("--add", metavar="X,Y,Z", help="add a click at this position in patient coordinates (LPS mm)")
    step.add_argument("--remove", type=int, metavar="N", help="remove the N-th click, counted from 1")
    step.add_argument("--undo", action="store_true", help="undo the last change")
    step.add_argument("--redo", action="store_true", help="redo the last change that was undone")
    step.add_argument("--reset", action="store_true", help="remove all clicks")
    label_help = "label of the new click (default: the label of the model, if it has only one)"
    steps.add_argument("--label", default="", metavar="LABEL", help=label_help)
    steps.add_argument("--background", action="store_true", help="make the new click a background click")
    parser.add_argument(
        "--user", default="", metavar="NAME", help="name of the user, for the audit trail of the session"
    )
    _add_run_options(parser, (name for name in OPTIONS if name not in _FIXED_IN_SESSION))


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=_parse_path, metavar="DIR", help=_DICOM_HELP)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    _add_repair(parser)


def _add_repair(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--repair", action="append", default=[], metavar="REPAIR", help=f"repair to try; can be repeated: {_REPAIRS}"
    )


def _add_clicks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="click file in any supported format, or DICOM SR (docs/clicks.md)"
    )
    parser.add_argument(
        "--dicom",
        type=Path,
        metavar="DIR",
        help="folder with the DICOM series of the clicks: checks positions, and converts from and to voxel indices",
    )
    _add_repair(parser)
    parser.add_argument(
        "--to",
        metavar="FORMAT",
        help="convert the clicks to this format: clickseg, slicer, fcsv, grand-challenge, deepgrow, deepedit, vista3d, "
        "cvpr or sr (default: show them as a table)",
    )
    parser.add_argument(
        "-o",
        "--output",
        dest="to_file",
        type=Path,
        metavar="OUT",
        help="file for the converted clicks (default: standard output)",
    )
    parser.add_argument("--clicks-frame", default="voxel", metavar="FRAME", help=OPTIONS["clicks-frame"])


def _add_models_commands(parser: argparse.ArgumentParser) -> None:
    """Adds the commands of ``models``; without one, ``clickseg models`` is ``clickseg models list``."""
    _add_models_option(parser)
    parser.epilog = f"Without COMMAND, list is run. {_VARIABLES_HELP}"
    add = parser.add_subparsers(title="commands", metavar="COMMAND").add_parser
    _add_command(add, "list", "models_list", _add_models_option, "list model packages: version, modalities and labels")
    _add_command(add, "export", "models_export", _add_models_export, "convert torch weights to OpenVINO or TensorRT")


def _add_models_export(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("package", type=_parse_path, metavar="PACKAGE", help="folder of a model package with models/model.pt")
    add(
        "--engine",
        choices=("openvino", "tensorrt"),
        default="openvino",
        help="inference engine: openvino adds weights to the package, tensorrt compiles the network for the GPU of "
        "this machine into the cache (default: openvino)",
    )
    add(
        "--precision",
        choices=("f32", "f16", "int8"),
        help="f32 or int8 for openvino (default: f32); f16 or f32 for tensorrt (default: f16)",
    )
    add("--calibrate", type=_parse_path, metavar="DIR", help="folder of DICOM series and clicks to calibrate int8 on")
    add("--device", metavar="DEVICE", help="GPU for tensorrt: cuda or cuda:N; N counts from 0 (default: cuda)")
    add("--cache", metavar="CACHE", help="folder for networks compiled by tensorrt (default: ~/.cache/clickseg)")


def _add_exec(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    app_help = "folder with __main__.py or app.py, or a Python file (default: ./app)"
    add("app", nargs="?", type=Path, default=Path("app"), metavar="APP", help=app_help)
    add("-i", "--input", type=Path, metavar="INPUT", help="input folder or file [HOLOSCAN_INPUT_PATH]")
    add("-o", "--output", type=Path, metavar="OUTPUT", help="output folder [HOLOSCAN_OUTPUT_PATH]")
    add("-m", "--model", type=Path, metavar="MODEL", help="folder of models [HOLOSCAN_MODEL_PATH]")
    add("-w", "--workdir", type=Path, metavar="WORKDIR", help="working folder [HOLOSCAN_WORKDIR]")
    levels = ("DEBUG", "INFO", "WARN", "ERROR", "CRITICAL")
    level_help = f"log level of the application: {', '.join(levels)} (default: chosen by the application)"
    add("-l", "--log-level", type=str.upper, choices=levels, metavar="LEVEL", help=level_help)
    parser.epilog = _VARIABLES_HELP


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        type=_parse_path,
        default=Path("demo"),
        metavar="DIR",
        help="folder for study/ and result/ (default: ./demo)",
    )
    _add_models_option(parser)
    parser.add_argument("--study-only", action="store_true", help="create the study without segmenting it")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help="folder of a model package, or its name")
    add("input", type=_parse_path, metavar="DATA", help=_DATA_HELP)
    add("-o", "--output", type=_parse_path, required=True, metavar="REPORT", help="folder for the report")
    add(
        "--protocol",
        choices=_PROTOCOLS,
        default="cvpr2025",
        help="how clicks are simulated (docs/evaluation.md) (default: cvpr2025)",
    )
    steps_help = (
        "number of click steps, 0 to 100; 0 evaluates without clicks (default: 5 for cvpr2025, 10 for the others)"
    )
    add("--steps", type=int, metavar="N", help=steps_help)
    add("--seed", type=int, metavar="SEED", help="random seed of the simulated clicks, at least 0 (default: 42)")
    fold_help = "evaluate only the cases of fold N, counted from 0; can be repeated (default: all cases)"
    add("--fold", type=int, action="append", default=[], metavar="N", help=fold_help)
    add("--folds", type=int, default=5, metavar="K", help=_FOLDS_HELP)
    add(
        "--truth-names",
        dest="truth",
        action="append",
        default=[],
        metavar="NAMES",
        help="names of a class in the ground truth (segment labels in SEG, ROI names in RTSTRUCT), comma-separated; "
        "repeat the option for each class, in the order of the model (default: names and aliases of the model's "
        "classes; for a model with one class, all segments that can be lesions)",
    )
    _add_run_options(parser, _EVALUATION_OPTIONS)


def _add_train(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help=_DATA_HELP)
    output_help = "run folder for checkpoints and the model package; an interrupted run resumes from it"
    add("-o", "--output", dest="run_folder", type=Path, required=True, metavar="RUN", help=output_help)
    config_help = "preset or YAML file; if repeated, later ones override earlier ones (default: pet_lesion)"
    add("-c", "--config", action="append", metavar="CONFIG", help=config_help)
    set_help = "override a value of the configuration, such as optimization.learning_rate=0.01; can be repeated"
    add("--set", action="append", default=[], metavar="KEY=VALUE", help=set_help)
    fold_help = "hold out fold N for validation, counted from 0 (default: train on all cases)"
    add("--fold", type=int, metavar="N", help=fold_help)
    add("--folds", type=int, default=5, metavar="K", help=_FOLDS_HELP)
    device_help = "device to train on: auto, cpu, cuda or cuda:N; N counts from 0 (default: auto)"
    add("--device", default="auto", metavar="DEVICE", help=device_help)
    add("--print-config", action="store_true", help="print the complete configuration as YAML without training")


def _add_package(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    app_help = "folder of the application, with __main__.py or app.py (default: ./app)"
    add("app", nargs="?", type=Path, default=Path("app"), metavar="APP", help=app_help)
    add("-t", "--tag", required=True, metavar="TAG", help="name of the image, such as clickseg:cpu")
    target_help = "libraries in the image: cpu (OpenVINO) or gpu (torch with CUDA) (default: cpu)"
    add("--target", choices=("cpu", "gpu"), default="cpu", help=target_help)
    base_help = "base image (default: see docs/container.md)"
    add("-b", "--base-image", metavar="IMAGE", help=base_help)
    model_help = "model package, or folder of them; can be repeated (default: the models that a run would use)"
    add("-m", "--model", "--models", action="append", type=Path, metavar="DIR", help=model_help)
    add("--no-models", action="store_true", help="build the image without models; mount them when it runs")
    add("-d", "--docs", type=Path, metavar="DIR", help="folder of documents (default: documents of ClickSeg)")
    tar_help = "existing folder to also save the image to, as a tar archive"
    add("-o", "--output", dest="tar_folder", type=Path, metavar="DIR", help=tar_help)
    add("--wheels", type=Path, metavar="DIR", help="install Python packages only from the wheels in this folder")
    add("--network", metavar="MODE", help="network mode of the build, as for docker build --network")
    add("-n", "--no-cache", action="store_true", help="build without the cache of earlier builds")
    version_help = f"version of the application (default: {__version__})"
    add("--version", dest="app_version", default=__version__, metavar="VERSION", help=version_help)


def _add_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("image", metavar="IMAGE", help="name of the container image, such as clickseg:cpu")
    add("input", type=Path, metavar="DIR", help="folder of DICOM files")
    add("results", type=Path, metavar="OUT", help=_OUTPUT_HELP)
    clicks_help = "click file; repeat the option for several files; 'none' uses no clicks"
    add("--clicks", action="append", default=[], metavar="FILE", help=clicks_help)
    models_help = "model package, or folder of model packages (default: models in the image)"
    add("-m", "--models", type=Path, metavar="MODELS", help=models_help)
    add("--gpus", metavar="GPUS", help="GPUs of the container, such as all, as for docker run --gpus (default: none)")
    add("--cache", type=Path, metavar="DIR", help="folder to keep compiled networks in for later runs (default: none)")
