"""The arguments of ``clickseg package`` and ``clickseg run``."""

from __future__ import annotations

import argparse
from pathlib import Path

from clickseg.core.version import __version__


def add_package(parser: argparse.ArgumentParser) -> None:
    """Adds those of ``clickseg package``; ``monai-deploy package`` has most of them."""
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


def add_run(parser: argparse.ArgumentParser) -> None:
    """Adds those of ``clickseg run``."""
    add = parser.add_argument
    add("image", metavar="IMAGE", help="container image")
    add("input", type=Path, metavar="IN", help="folder of DICOM")
    add("results", type=Path, metavar="OUT", help="folder for the results")
    add("--clicks", action="append", default=[], metavar="FILE", help="click file; several count together; or none")
    add("-m", "--models", type=Path, metavar="MODELS", help="model packages instead of those in the image")
    add("--gpus", metavar="GPUS", help="GPUs to use, such as all (default: none)")
    add("--cache", type=Path, metavar="DIR", help="keep compiled networks here, for the next run")
