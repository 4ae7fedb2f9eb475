"""A run without Holoscan: segments the series of a folder, and writes the results to another folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial

from clickseg.batch.plan import RunPlan, make_plan
from clickseg.batch.report import log_plan
from clickseg.batch.settings import RunSettings
from clickseg.batch.steps import InferenceStep, Outcome, load_cases, postprocess_case, preprocess_case
from clickseg.batch.writer import ResultWriter, RunSummary
from clickseg.core.progress import Progress
from clickseg.inference.case import CaseResult


def run(settings: RunSettings, progress: Progress) -> RunSummary:
    """Segments every series that fits the model, and writes the results.

    Args:
        settings: The settings.
        progress: Called after each window.

    Returns:
        The summary of the run, with the errors of the series that failed.

    Raises:
        ClickSegError: No series could be run, or the results cannot be written.
    """
    plan = make_plan(settings)
    log_plan(plan)
    with ResultWriter(plan, settings) as writer:
        writer.write_all(segment_cases(plan, settings, progress))
    return writer.summary


def segment_cases(plan: RunPlan, settings: RunSettings, progress: Progress) -> Iterator[Outcome[CaseResult]]:
    """Yields the result or the error of each series of a plan, then the series that failed during planning.

    The steps are lazy: a series passes through all of them before the next one is loaded.

    Args:
        plan: The plan.
        settings: The settings.
        progress: Called after each window.
    """
    with closing(InferenceStep(settings.runtime, progress)) as infer_case:
        cases = load_cases(plan)
        preprocessed = map(preprocess_case, cases)
        predicted = map(infer_case, preprocessed)
        yield from map(partial(postprocess_case, settings=settings), predicted)
