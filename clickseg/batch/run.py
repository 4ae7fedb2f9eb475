"""The plain door: one run from folder to folder, without Holoscan."""

from __future__ import annotations

import logging

from clickseg.batch.plan import Plan, make_plan
from clickseg.batch.settings import RunSettings
from clickseg.batch.steps import Inference, finish_case, load_cases, prepare_case
from clickseg.batch.writer import Results
from clickseg.clicks.click import Clicks, Polarity
from clickseg.progress import Progress
from clickseg.wording import counted

logger = logging.getLogger(__name__)


def run(settings: RunSettings, progress: Progress) -> Results:
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
    infer = Inference(settings.runtime, progress)
    with Results(plan, settings) as results:
        for case in load_cases(plan):
            results.add(finish_case(infer(prepare_case(case)), settings))
    return results


_USUAL = ("not DICOM", "DICOMDIR", "DICOM without a series", "copy of another file")
"""What folders of DICOM hold besides."""

_RESULTS = ("SEG", "SR")
"""Modalities of results, such as those of earlier runs; whether their clicks count is said on its own."""


def log_plan(plan: Plan) -> None:
    """Logs what is run and what is not."""
    _log_tasks(plan)
    _log_passed_over(plan)


def _log_tasks(plan: Plan) -> None:
    for task in plan.tasks:
        clicks = _described(task.clicks)
        candidate = task.candidate
        logger.info("%s series in %s: model %s, %s", candidate.modality, candidate.folder, plan.package.name, clicks)
        for remedy in candidate.remedies_used:
            logger.warning("%s series in %s: %s", candidate.modality, candidate.folder, remedy)
        has_foreground = any(click.polarity is Polarity.FOREGROUND for click in task.clicks.points)
        if not has_foreground and plan.package.spec.postprocessing.keep == "clicked":
            logger.warning(
                "model %s is made for foreground clicks: without any it paints organs too", plan.package.name
            )


def _log_passed_over(plan: Plan) -> None:
    for each in plan.series_passed_over:
        if each.candidate.modality in _RESULTS:
            continue
        level = logging.WARNING if each.candidate.modality in plan.package.modalities else logging.INFO
        logger.log(level, "passed over: %s in %s: %s", each.candidate.modality, each.candidate.folder, each.reason)
    for each in plan.lacking:
        logger.warning("%s in %s cannot be segmented: %s", each.candidate.modality, each.candidate.folder, each.reason)
    for reason, count in plan.files_passed_over.items():
        if reason not in _USUAL:
            logger.warning("passed over: %s: %s", counted(count, "file"), reason)
    for name in plan.clicks_passed_over:
        logger.warning("passed over: the clicks of %s", name)


def _described(clicks: Clicks) -> str:
    polarities = [click.polarity for click in clicks.points]
    said = ", ".join(f"{polarities.count(each)} {each.value}" for each in Polarity if each in polarities)
    if clicks.source:
        return f"{counted(len(clicks.points), 'click')} of {clicks.source}{f' ({said})' if said else ''}"
    return "no clicks"
