"""``clickseg evaluate``: what a model is worth on a labelled dataset, click by click."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from clickseg.cli.parser import options_of
from clickseg.cli.terminal import fail, progress_bar, tell
from clickseg.core.clock import read_clock
from clickseg.core.extras import EVALUATION, check_libraries
from clickseg.core.options import option_value, switch

if TYPE_CHECKING:
    from clickseg.evaluation.run import EvaluationSettings


def run(arguments: argparse.Namespace) -> int:
    """Runs the command, and returns the exit code.

    Raises:
        LibraryError: A library is missing.
    """
    check_libraries(EVALUATION)
    from clickseg.evaluation.run import evaluate

    found = evaluate(settings_of(arguments, options_of(arguments), os.environ), progress_bar("step"))
    tell(found.lines)
    return fail(found.errors, None, os.environ) if found.errors else 0


def settings_of(
    arguments: argparse.Namespace, options: Mapping[str, str | None], environ: Mapping[str, str]
) -> EvaluationSettings:
    """Returns the settings of an evaluation.

    Args:
        arguments: The arguments of the command.
        options: Those of them that a run has too, by name; they win over the environment.
        environ: Environment variables.

    Raises:
        UsageError: An option does not take its value.
    """
    from clickseg.evaluation.protocols import ProtocolName
    from clickseg.evaluation.run import EvaluationSettings
    from clickseg.inference.runtime_settings import read_runtime_settings
    from clickseg.models.find import model_paths

    return EvaluationSettings(
        data=arguments.input,
        output=arguments.output,
        models=model_paths(arguments.models, environ),
        model=arguments.model,
        protocol=ProtocolName(arguments.protocol),
        runtime=read_runtime_settings(options, environ, arguments.output),
        clock=read_clock(environ),
        postprocessing=switch(option_value("postprocessing", options, environ) or "on", "postprocessing"),
        steps=arguments.steps,
        seed=arguments.seed,
        chosen=tuple(arguments.fold),
        folds=arguments.folds,
        truth=tuple(tuple(names.split(",")) for names in arguments.truth),
    )
