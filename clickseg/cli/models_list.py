"""``clickseg models list``: a line for each model package that is found."""

from __future__ import annotations

import argparse
import os

from clickseg.cli.terminal import fail, print_lines
from clickseg.models.find import list_packages, model_paths


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code: 1 if a model package cannot be read."""
    packages, errors = list_packages(model_paths(arguments.models, os.environ))
    for package in packages:
        labels = ", ".join(" or ".join((label.name, *label.aliases)) for label in package.spec.classes)
        default = ", default" if package.spec.default else ""
        print_lines([f"{package.name} {package.version}: {package.takes} -> {labels} ({package.path}{default})"])
    return fail(errors, None, os.environ) if errors else 0
