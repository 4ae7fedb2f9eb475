"""``clickseg models list``: a line for each model that is found."""

from __future__ import annotations

import argparse
import os

from clickseg.cli.terminal import print_lines, report_errors
from clickseg.inference.model_readers import find_reader
from clickseg.inference.model_sources import check_has_other_than_programs, named_sources
from clickseg.models.find import has_packages, list_packages, model_paths


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code: 1 if a model package cannot be read."""
    paths = model_paths(arguments.models, os.environ)
    sources = named_sources(paths)
    for name, path in sources.items():
        reader = find_reader(path)
        print_lines([f"{name}: {reader.format if reader else ''}, translated when it is used ({path})"])
    if sources and not has_packages(paths[0].path):
        return 0
    if not sources:
        check_has_other_than_programs(paths)
    packages, errors = list_packages(paths)
    for package in packages:
        labels = ", ".join(" or ".join((label.name, *label.aliases)) for label in package.spec.classes)
        default = ", default" if package.spec.default else ""
        print_lines(
            [f"{package.name} {package.version}: {package.modalities_text} -> {labels} ({package.path}{default})"]
        )
    return report_errors(errors, None, os.environ) if errors else 0
