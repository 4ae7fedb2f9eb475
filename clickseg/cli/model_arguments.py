"""The arguments of the commands that make and evaluate models: ``models export``, ``evaluate`` and ``train``."""

from __future__ import annotations

import argparse
from pathlib import Path

from clickseg.cli.argument_types import parse_path
from clickseg.cli.run_options import SOURCE_OPTIONS, add_options, add_run_options

_EVALUATION_OPTIONS = (
    "engine",
    "device",
    "precision",
    "postprocessing",
    "mirroring",
    "cache",
    "memory-limit",
    *SOURCE_OPTIONS,
)
"""Options of a run that ``evaluate`` has too."""

_PROTOCOLS = ("cvpr2025", "sw-fastedit", "autopet4")

_DATA_HELP = "labelled cases: a folder, or a JSON datalist (docs/datasets.md)"
_FOLDS_HELP = "number of folds, if the dataset does not define folds (default: 5)"


def add_models_export(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``clickseg models export``."""
    add = parser.add_argument
    add("package", type=parse_path, metavar="PACKAGE", help="folder of a model package with models/model.pt")
    add(
        "--engine",
        choices=("openvino", "tensorrt"),
        default="openvino",
        help="inference engine: openvino adds weights to the package, tensorrt (experimental) compiles the network for "
        "the GPU of this machine into the cache (default: openvino)",
    )
    add(
        "--precision",
        choices=("f32", "f16", "int8"),
        help="f32 or int8 for openvino (default: f32); f16 or f32 for tensorrt (default: f16)",
    )
    add("--calibrate", type=parse_path, metavar="DIR", help="folder of DICOM series and clicks to calibrate int8 on")
    add("--device", metavar="DEVICE", help="GPU for tensorrt: cuda or cuda:N; N counts from 0 (default: cuda)")
    add("--cache", metavar="CACHE", help="folder for networks compiled by tensorrt (default: ~/.cache/clickseg)")


def add_models_import(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``clickseg models import``."""
    source_help = "model of another tool: MONAI Bundle, Auto3DSeg zip, model of nnU-Net, checkpoint or TorchScript file"
    parser.add_argument("source", type=parse_path, metavar="SOURCE", help=source_help)
    output_help = "folder of the model package; new or empty"
    parser.add_argument(
        "-o", "--output", dest="package", type=parse_path, required=True, metavar="DIR", help=output_help
    )
    add_options(parser, SOURCE_OPTIONS)


def add_models_check(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``clickseg models check``."""
    add = parser.add_argument
    add("model", type=parse_path, metavar="DIR", help="model package, or model of another tool")
    add("--data", type=parse_path, required=True, metavar="STUDY", help="folder of DICOM series that the model fits")
    source_help = "MONAI Bundle or model of nnU-Net that the package was translated from: it is run by its own tool, "
    add(
        "--source",
        type=parse_path,
        metavar="SOURCE",
        help=source_help + "which executes what it contains: only for trusted models",
    )
    least_help = "percentage of voxels with the same label below which the command fails (default: 99.9)"
    add("--least", type=float, default=99.9, metavar="PERCENT", help=least_help)
    add_options(parser, ("series", "input", "repair", "engine", "cache", "memory-limit", *SOURCE_OPTIONS))


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``clickseg evaluate``."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="path of a model, or the name of a model package")
    add("input", type=parse_path, metavar="DATA", help=_DATA_HELP)
    add("-o", "--output", type=parse_path, required=True, metavar="REPORT", help="folder for the report")
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
    add_run_options(parser, _EVALUATION_OPTIONS)


def add_train(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``clickseg train``."""
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
