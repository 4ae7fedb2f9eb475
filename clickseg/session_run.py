"""One series in a session: opened by ``clickseg segment --session``, gone on with by ``clickseg refine``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from clickseg.boxes import Box
from clickseg.case import Case, Result
from clickseg.clicks.read import NONE
from clickseg.engines.choice import make_engine
from clickseg.errors import SessionError, UsageError
from clickseg.inference.kernel_choice import KernelChoice
from clickseg.job import load_cases
from clickseg.plan import Plan, make_plan
from clickseg.progress import Progress
from clickseg.results import Results
from clickseg.run import log_plan
from clickseg.session.record import subject_of
from clickseg.session.session import Change, Session, SessionOptions
from clickseg.settings import Settings
from clickseg.wording import counted

Edit = Callable[[Session, Case], Change | None]
"""What a user does in a session; nothing where it is only opened."""


def open_session(settings: Settings, folder: Path, progress: Progress) -> Results:
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


def refine(settings: Settings, folder: Path, edit: Edit, progress: Progress) -> Results:
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


def _plan(settings: Settings) -> Plan:
    plan = make_plan(settings, clicks_follow=True)
    if len(plan) != 1:
        raise UsageError(f"a session is of one series, got {len(plan)} to be segmented", hint="name it with --series")
    return plan


def _run(plan: Plan, settings: Settings, folder: Path, edit: Edit, progress: Progress) -> Results:
    said: list[str] = []

    def in_session(case: Case) -> Result:
        with _opened(case, settings, folder, progress) as session:
            change = edit(session, case)
            said.extend([] if change is None else [_said(change, session)])
            return session.result()

    with Results(plan, settings) as results:
        (outcome,) = load_cases(plan)
        results.add(outcome.then("inference", in_session))
    results.summary = [*said, *results.summary]
    return results


def _opened(case: Case, settings: Settings, folder: Path, progress: Progress) -> Session:
    engine = make_engine(case.package, settings.runtime, settings.device, settings.precision, settings.cache)
    options = SessionOptions(
        memory=settings.memory,
        kernels=KernelChoice(settings.cache),
        postprocessing=settings.postprocessing,
        progress=progress,
        earlier=case.earlier,
    )
    return Session(case.series, case.package, folder=folder, engine=engine, options=options)


def _said(change: Change, session: Session) -> str:
    """Returns what a step changed, in a line."""
    ran = f"{change.windows_run} of {counted(session.windows, 'window')} run in {change.seconds:.1f} s"
    return f"changed  {_box(change.box) if change.box else 'nothing'} ({ran}; {counted(len(session.clicks), 'click')})"


def _box(box: Box) -> str:
    """Returns a box as slices, rows and columns, first to last."""
    names = ("slices", "rows", "columns")
    return ", ".join(f"{name} {part.start}-{part.stop - 1}" for name, part in zip(names, box, strict=True))
