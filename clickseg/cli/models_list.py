"""``clickseg models list``: a line for each model package that is found."""

from __future__ import annotations

import argparse
import os

from clickseg.cli.terminal import print_lines, report_errors
from clickseg.models.find import list_packages, model_paths


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code: 1 if a model package cannot be read."""
    packages, errors = list_packages(model_paths(arguments.models, os.environ))
    for package in packages:
        labels = ", ".join(" or ".join((label.name, *label.aliases)) for label in package.spec.classes)
        default = ", default" if package.spec.default else ""
        print_lines(
            [f"{package.name} {package.version}: {package.modalities_text} -> {labels} ({package.path}{default})"]
        )
    return report_errors(errors, None, os.environ) if errors else 0
