"""One series in a session: opened by ``clickseg segment --session``, gone on with by ``clickseg refine``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from clickseg.batch.plan import Plan, make_plan
from clickseg.batch.report import log_plan
from clickseg.batch.settings import RunSettings
from clickseg.batch.steps import load_cases, run_step
from clickseg.batch.writer import ResultWriter, RunSummary
from clickseg.clicks.find import NONE
from clickseg.core.errors import SessionError, UsageError
from clickseg.core.progress import Progress
from clickseg.inference.case import Case, Result
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.kernels import KernelChoice
from clickseg.session.options import SessionOptions
from clickseg.session.record import subject_of
from clickseg.session.session import Change, Session

Edit = Callable[[Session, Case], Change | None]
"""What a user does in a session; nothing where it is only opened."""


@dataclass(frozen=True, slots=True)
class SessionStep:
    """A step that was made in a session.

    Attributes:
        change: What it changed.
        windows: How many windows the session has.
        clicks: How many clicks there are after it.
    """

    change: Change
    windows: int
    clicks: int


@dataclass(frozen=True, slots=True)
class SessionRun:
    """What came of a run in a session.

    Attributes:
        summary: What was written.
        step: What was done in the session; None where nothing was.
    """

    summary: RunSummary
    step: SessionStep | None


def open_session(settings: RunSettings, folder: Path, progress: Progress) -> SessionRun:
    """Segments a series with its clicks, and keeps what clicks that follow need.

    Args:
        settings: The settings; one series is to be segmented.
        folder: The session's folder; it may hold no session yet.
        progress: Told after each window.

    Raises:
        ClickSegError: Nothing could be run, or the results cannot be written.
    """

    def begin(session: Session, case: Case) -> Change | None:
        if session.steps:
            raise SessionError(f"{folder}: holds a session already", hint="clickseg refine goes on with it")
        return session.add_clicks(case.clicks.points) if case.clicks.points else None

    plan = _plan(settings)
    log_plan(plan)
    return _run(plan, settings, folder, begin, progress)


def refine(settings: RunSettings, folder: Path, edit: Edit, progress: Progress) -> SessionRun:
    """Goes on with a session, and writes the result.

    Args:
        settings: The settings; series and model are those of the session.
        folder: The session's folder.
        edit: What the user does.
        progress: Told after each window.

    Raises:
        ClickSegError: Nothing could be run, or the results cannot be written.
    """
    subject = subject_of(folder)
    model = settings.model or subject.model
    of_session = replace(settings, model=model, series_uids=subject.series_uids, clicks=(NONE,))
    return _run(_plan(of_session), of_session, folder, edit, progress)


def _plan(settings: RunSettings) -> Plan:
    plan = make_plan(settings, clicks_follow=True)
    if len(plan) != 1:
        raise UsageError(f"a session is of one series, got {len(plan)} to be segmented", hint="name it with --series")
    return plan


def _run(plan: Plan, settings: RunSettings, folder: Path, edit: Edit, progress: Progress) -> SessionRun:
    steps: list[SessionStep] = []

    def in_session(case: Case) -> Result:
        with _opened(case, settings, folder, progress) as session:
            change = edit(session, case)
            if change is not None:  # noted at once: the session keeps the step, even if its result cannot be written
                steps.append(SessionStep(change, session.windows, len(session.clicks)))
            return session.result()

    with ResultWriter(plan, settings) as writer:
        (case,) = load_cases(plan)
        writer.write(run_step(case, "inference", in_session))
    return SessionRun(writer.summary, steps[0] if steps else None)


def _opened(case: Case, settings: RunSettings, folder: Path, progress: Progress) -> Session:
    options = SessionOptions(
        memory=settings.runtime.memory,
        kernels=KernelChoice(settings.runtime.cache),
        postprocessing=settings.postprocessing,
        progress=progress,
        earlier=case.earlier,
    )
    engine = make_engine(case.package, settings.runtime)
    return Session(case.series, case.package, folder=folder, engine=engine, options=options)
