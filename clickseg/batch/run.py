"""One run from folder to folder, without Holoscan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial

from clickseg.batch.plan import Plan, make_plan
from clickseg.batch.report import log_plan
from clickseg.batch.settings import RunSettings
from clickseg.batch.steps import Inference, Outcome, load_cases, postprocess_case, preprocess_case
from clickseg.batch.writer import ResultWriter, RunSummary
from clickseg.core.progress import Progress
from clickseg.inference.case import Result


def run(settings: RunSettings, progress: Progress) -> RunSummary:
    """Segments every series that the model is for, and writes what was found.

    Args:
        settings: The settings.
        progress: Told after each window.

    Returns:
        What was written, and the errors of the series that failed.

    Raises:
        ClickSegError: Nothing could be run, or the results cannot be written.
    """
    plan = make_plan(settings)
    log_plan(plan)
    with ResultWriter(plan, settings) as writer:
        writer.write_all(segment_cases(plan, settings, progress))
    return writer.summary


def segment_cases(plan: Plan, settings: RunSettings, progress: Progress) -> Iterator[Outcome[Result]]:
    """Yields the result of each series of a plan, or its error; then those that failed in planning.

    The steps are lazy: a series goes through all of them before the next one is loaded.

    Args:
        plan: What to run.
        settings: The settings.
        progress: Told after each window.
    """
    with closing(Inference(settings.runtime, progress)) as infer_case:
        cases = load_cases(plan)
        prepared = map(preprocess_case, cases)
        predicted = map(infer_case, prepared)
        yield from map(partial(postprocess_case, settings=settings), predicted)
