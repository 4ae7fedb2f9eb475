"""``clickseg evaluate``: evaluates a model on labelled cases with simulated clicks."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from clickseg.cli.run_options import run_options
from clickseg.cli.terminal import print_lines, progress_bar, report_errors
from clickseg.core.clock import read_clock
from clickseg.core.extras import EVALUATION_PACKAGES, check_libraries
from clickseg.core.options import option_value, parse_switch

if TYPE_CHECKING:
    from clickseg.evaluation.run import EvaluationSettings


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code.

    Raises:
        LibraryError: A library of the extra ``train`` is not installed.
    """
    check_libraries(EVALUATION_PACKAGES)
    from clickseg.evaluation.run import evaluate

    result = evaluate(evaluation_settings(arguments, run_options(arguments), os.environ), progress_bar("step"))
    print_lines(result.lines)
    return report_errors(result.errors, None, os.environ) if result.errors else 0


def evaluation_settings(
    arguments: argparse.Namespace, options: Mapping[str, str | None], environ: Mapping[str, str]
) -> EvaluationSettings:
    """Returns the settings of an evaluation.

    Args:
        arguments: The arguments of the command.
        options: The options that a run has too, by name; they take precedence over the environment.
        environ: Environment variables.

    Raises:
        UsageError: The value of an option is invalid.
    """
    from clickseg.evaluation.protocols import ProtocolName
    from clickseg.evaluation.run import EvaluationSettings
    from clickseg.inference.runtime_settings import read_runtime_settings
    from clickseg.models.find import model_paths
    from clickseg.models.importers.options import read_import_options

    return EvaluationSettings(
        data=arguments.input,
        output=arguments.output,
        models=model_paths(arguments.models, environ),
        model=arguments.model,
        protocol=ProtocolName(arguments.protocol),
        runtime=read_runtime_settings(options, environ, arguments.output),
        clock=read_clock(environ),
        postprocessing=parse_switch(option_value("postprocessing", options, environ) or "on", "postprocessing"),
        steps=arguments.steps,
        seed=arguments.seed,
        fold_numbers=tuple(arguments.fold),
        fold_count=arguments.folds,
        import_options=read_import_options(options, environ),
        truth_names=tuple(tuple(names.split(",")) for names in arguments.truth),
    )
