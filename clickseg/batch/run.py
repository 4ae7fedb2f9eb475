"""One run from folder to folder, without Holoscan."""

from __future__ import annotations

from functools import partial

from clickseg.batch.plan import make_plan
from clickseg.batch.report import log_plan
from clickseg.batch.settings import RunSettings
from clickseg.batch.steps import Inference, load_cases, postprocess_case, preprocess_case
from clickseg.batch.writer import ResultWriter, RunSummary
from clickseg.core.progress import Progress


def run(settings: RunSettings, progress: Progress) -> RunSummary:
    """Segments every series that the model is for, and writes what was found.

    The steps are lazy: a series goes through all of them before the next one is loaded.

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
    cases = load_cases(plan)
    prepared = map(preprocess_case, cases)
    predicted = map(Inference(settings.runtime, progress), prepared)
    results = map(partial(postprocess_case, settings=settings), predicted)
    with ResultWriter(plan, settings) as writer:
        writer.write_all(results)
    return writer.summary
