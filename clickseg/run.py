"""The plain door: one run from folder to folder, without Holoscan."""

from __future__ import annotations

import logging

from clickseg.job import Inference, finish_case, load_cases, prepare_case
from clickseg.plan import Plan, make_plan
from clickseg.progress import Progress
from clickseg.results import Results
from clickseg.settings import Settings
from clickseg.wording import counted

logger = logging.getLogger(__name__)


def run(settings: Settings, progress: Progress) -> Results:
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
    infer = Inference(settings, progress)
    with Results(plan, settings) as results:
        for case in load_cases(plan):
            results.add(finish_case(infer(prepare_case(case)), settings))
    return results


def log_plan(plan: Plan) -> None:
    """Logs what is run and what is not."""
    for task in plan.tasks:
        clicks = (
            f"{counted(len(task.clicks.points), 'click')} of {task.clicks.source}"
            if task.clicks.points
            else "no clicks"
        )
        candidate = task.candidate
        logger.info("%s series in %s: model %s, %s", candidate.modality, candidate.folder, plan.package.name, clicks)
        for remedy in candidate.remedies_used:
            logger.warning("%s series in %s: %s", candidate.modality, candidate.folder, remedy)
    for each in plan.series_passed_over:
        level = logging.WARNING if each.candidate.modality == plan.package.modalities[0] else logging.INFO
        logger.log(level, "passed over: %s in %s: %s", each.candidate.modality, each.candidate.folder, each.reason)
    for name in plan.clicks_passed_over:
        logger.warning("passed over: %s: other clicks were asked for", name)
