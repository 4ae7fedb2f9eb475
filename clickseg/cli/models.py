"""``clickseg models``: the model packages at hand."""

from __future__ import annotations

import argparse
import os

from clickseg.cli.terminal import fail, tell
from clickseg.models.find import list_packages, model_paths


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code."""
    packages, errors = list_packages(model_paths(arguments.models, os.environ))
    for package in packages:
        classes = ", ".join(" or ".join((each.name, *each.aliases)) for each in package.spec.classes)
        default = ", default" if package.spec.default else ""
        tell([f"{package.name} {package.version}: {package.takes} -> {classes} ({package.path}{default})"])
    return fail(errors, None, os.environ) if errors else 0
