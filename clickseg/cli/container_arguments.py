"""The arguments of the commands for applications and containers: ``package``, ``run`` and ``exec``."""

from __future__ import annotations

import argparse
from pathlib import Path

from clickseg.cli.run_options import VARIABLES_HELP
from clickseg.core.version import __version__


def add_package(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``clickseg package``."""
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


def add_run(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``clickseg run``."""
    add = parser.add_argument
    add("image", metavar="IMAGE", help="name of the container image, such as clickseg:cpu")
    add("input", type=Path, metavar="DIR", help="folder of DICOM files")
    add("results", type=Path, metavar="OUT", help="output folder")
    clicks_help = "click file; repeat the option for several files; 'none' uses no clicks"
    add("--clicks", action="append", default=[], metavar="FILE", help=clicks_help)
    models_help = (
        "model package, folder of model packages, or model of another tool, which is translated on this machine "
        "(default: models in the image)"
    )
    add("-m", "--models", type=Path, metavar="MODELS", help=models_help)
    add("--gpus", metavar="GPUS", help="GPUs of the container, such as all, as for docker run --gpus (default: none)")
    add("--cache", type=Path, metavar="DIR", help="folder to keep compiled networks in for later runs (default: none)")


def add_exec(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``clickseg exec``."""
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
    parser.epilog = VARIABLES_HELP
