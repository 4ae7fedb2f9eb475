"""A run on one series in a session: ``clickseg segment --session`` opens a session, ``clickseg refine`` resumes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from clickseg.batch.plan import RunPlan, make_plan
from clickseg.batch.report import log_plan
from clickseg.batch.settings import RunSettings
from clickseg.batch.steps import load_cases, run_step
from clickseg.batch.writer import ResultWriter, RunSummary
from clickseg.clicks.find import NO_CLICKS
from clickseg.core.errors import SessionError, UsageError
from clickseg.core.progress import Progress
from clickseg.inference.case import Case, CaseResult
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.model_sources import is_translated, log_assumptions
from clickseg.models.importers.options import resume_options
from clickseg.models.package import ModelPackage
from clickseg.session.options import SessionOptions
from clickseg.session.record import SessionInputs, read_session_inputs
from clickseg.session.session import Change, Session

MakeStep = Callable[[Session, Case], Change | None]
"""Makes the step of a user in a session. Returns None if it makes no step, as when a session is only opened."""


@dataclass(frozen=True, slots=True)
class SessionStepSummary:
    """A step that was made in a session.

    Attributes:
        change: The change that the step made.
        window_count: The number of windows of the session.
        click_count: The number of clicks after the step.
    """

    change: Change
    window_count: int
    click_count: int


@dataclass(frozen=True, slots=True)
class SessionRun:
    """The outcome of a run in a session.

    Attributes:
        summary: The summary of the run.
        step: The step that was made in the session; None if no step was made.
    """

    summary: RunSummary
    step: SessionStepSummary | None


def open_session(settings: RunSettings, folder: Path, progress: Progress) -> SessionRun:
    """Segments a series with its clicks, and stores the session for further clicks.

    Args:
        settings: The settings; they must select one series.
        folder: The session's folder; it must not contain a session.
        progress: Called after each window.

    Raises:
        ClickSegError: The series cannot be segmented, or the results cannot be written.
    """

    def add_initial_clicks(session: Session, case: Case) -> Change | None:
        if session.steps:
            raise SessionError(f"{folder}: already contains a session", hint="resume it with clickseg refine")
        return session.add_clicks(case.clicks.points) if case.clicks.points else None

    plan = _plan_one_series(settings)
    log_plan(plan)
    return _run_in_session(plan, settings, folder, add_initial_clicks, progress)


def refine(settings: RunSettings, folder: Path, make_step: MakeStep, progress: Progress) -> SessionRun:
    """Resumes a session, makes one step, and writes the result.

    Args:
        settings: The settings. Series, model and what was stated about it are those of the session.
        folder: The session's folder.
        make_step: Makes the step.
        progress: Called after each window.

    Raises:
        ClickSegError: The series cannot be segmented, or the results cannot be written.
    """
    inputs = read_session_inputs(folder)
    model = settings.model or inputs.model
    uids = inputs.series_uids
    are_inputs = 1 < len(uids) == len(set(uids))  # two volumes of one series have the same UID
    settings = replace(settings, model=model, series_uids=uids, clicks=(NO_CLICKS,))
    settings = replace(settings, input_uids=uids if are_inputs else ())
    plan = _plan_one_series(_with_import_options(settings, inputs))
    log_assumptions(plan.package)
    return _run_in_session(plan, settings, folder, make_step, progress)


def _with_import_options(settings: RunSettings, inputs: SessionInputs) -> RunSettings:
    """Returns settings with what the user stated about the model of another tool when the session was opened."""
    model, stored = settings.model, inputs.import_options
    if stored is None or isinstance(model, ModelPackage) or not is_translated(settings.models, model):
        return settings
    return replace(settings, import_options=resume_options(settings.import_options, stored))


def _plan_one_series(settings: RunSettings) -> RunPlan:
    plan = make_plan(settings, allow_no_clicks=True)
    if len(plan) != 1:
        raise UsageError(
            f"expected one series to segment in a session, got {len(plan)}", hint="select one with --series"
        )
    return plan


def _run_in_session(
    plan: RunPlan, settings: RunSettings, folder: Path, make_step: MakeStep, progress: Progress
) -> SessionRun:
    steps: list[SessionStepSummary] = []

    def infer_in_session(case: Case) -> CaseResult:
        with _make_session(case, settings, folder, progress) as session:
            change = make_step(session, case)
            if change is not None:  # recorded at once: the step is stored, even if its result cannot be written
                steps.append(SessionStepSummary(change, session.window_count, len(session.clicks)))
            return session.result()

    with ResultWriter(plan, settings) as writer:
        (case,) = load_cases(plan)
        writer.write(run_step(case, "inference", infer_in_session))
    return SessionRun(writer.summary, steps[0] if steps else None)


def _make_session(case: Case, settings: RunSettings, folder: Path, progress: Progress) -> Session:
    options = SessionOptions(
        memory=settings.runtime.memory,
        kernels=KernelChoice(settings.runtime.cache),
        postprocessing=settings.postprocessing,
        progress=progress,
        predecessors=case.predecessors,
    )
    engine = make_engine(case.package, settings.runtime)
    return Session(case.series, case.package, folder=folder, engine=engine, options=options)
