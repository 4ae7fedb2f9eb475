"""A session: one series, one model, and clicks that are added one after another.

``Session.add_click`` checks a click and makes a step of it. ``_submit`` pauses the background run for the step.
``_apply_steps`` recovers from an interrupted step, runs the changed windows, stores the step, and updates the view.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np
from typing_extensions import Self

from clickseg.clicks.click import Click, Clicks, ClickSequence
from clickseg.core.arguments import check_type, to_items, to_path
from clickseg.core.arrays import Box, full_box
from clickseg.core.label_map import LabelMap
from clickseg.core.memory import machine_memory
from clickseg.core.progress import Progress, no_progress
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.case import CaseResult, PredictedCase, WindowSummary
from clickseg.inference.click_binding import bind_clicks
from clickseg.inference.engines.engine import Engine
from clickseg.inference.incremental import IncrementalInference, Persistence
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.measurements import MeasurementCache, SegmentMeasurements
from clickseg.inference.preprocess import make_case, preprocess
from clickseg.models.package import ModelPackage
from clickseg.session.background import BackgroundRun
from clickseg.session.engine import open_engine
from clickseg.session.history import Action, History, Step
from clickseg.session.options import SessionOptions
from clickseg.session.record import Record, session_inputs
from clickseg.session.result_view import ResultView, make_view
from clickseg.session.state import SessionState, Validity

_DEFAULTS = SessionOptions()


@dataclass(frozen=True, slots=True)
class Change:
    """The change that one step made.

    Attributes:
        box: The bounding box [K, J, I] of the voxels whose class changed, on the source grid; None if none changed.
        windows_run: The number of windows that were run.
        seconds: The time from the step to the new label map.
    """

    box: Box | None
    windows_run: int
    seconds: float


class Session:
    """Segments a series click by click. Each click runs only the windows that it touches.

    After each click, the result has the same bytes as that of a full run with the same clicks.

    Opening a session starts a run of all windows, without clicks, in the background. A click during that run takes
    precedence. With a folder, each step is stored there before it is returned, and another process can resume the
    session.

    Attributes:
        window_count: The number of windows.
    """

    def __init__(
        self,
        series: SeriesVolume | Sequence[SeriesVolume],
        model: ModelPackage,
        *,
        folder: str | os.PathLike[str] | None = None,
        device: str = "auto",
        engine: Engine | None = None,
        options: SessionOptions = _DEFAULTS,
    ) -> None:
        """Opens a session, or resumes the session in a folder.

        Args:
            series: The series, or one for each input of the model; the result refers to the first.
            model: The model.
            folder: Where the session is stored; None for a session that ends with the process.
            device: Where the model runs: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
            engine: A loaded engine of the model, which no other session uses at the same time; it stays open. None to
                load an engine, and to close it with the session.
            options: The optional settings.

        Raises:
            InputError: The series has no foreground, to which the model crops it.
            ModelError: A series does not fit the model, or the model's weights are damaged.
            EngineError: No runtime on this machine runs the model on the device.
            SessionError: The folder contains a session with other data, weights, engine or version, or one that is in
                use; or the engine runs on another device.
            OutputError: The folder cannot be written to.
            UsageError: The device name is invalid, or an argument has another type.
        """
        check_type(model, ModelPackage, "model")
        path = None if folder is None else to_path(folder, "folder")
        input_series = to_items(series, SeriesVolume, "series")
        self._case = make_case(input_series, Clicks(), model, options.predecessors)
        self._memory = options.memory or machine_memory()
        self._postprocessing = options.postprocessing
        self._owned = ExitStack()
        with ExitStack() as cleanup:
            cleanup.callback(self._owned.close)
            self._engine = self._owned.enter_context(open_engine(model, device, engine))
            self._record = Record(path, session_inputs(self._case, self._engine)) if path else None
            if self._record:
                cleanup.callback(self._record.close)
            self._inference = IncrementalInference(
                preprocess(self._case),
                self._engine,
                self._memory,
                options.kernels or KernelChoice(),
                persistence=Persistence(path, self._record.inputs.digest) if path and self._record else None,
            )
            cleanup.callback(self._inference.close)
            self.window_count = len(self._inference.grid)
            self._history = self._record.history if self._record else History()
            self._inference.set_initial_clicks(self.clicks)
            is_current = self._inference.is_current_for(self.clicks)
            self._state = SessionState(Validity.CLEAN if is_current else Validity.STALE, self.clicks)
            self._view = self._make_view()
            self._measures = MeasurementCache(self._case.reference_series)
            self._background = BackgroundRun(self._run_all, options.progress)
            cleanup.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def clicks(self) -> ClickSequence:
        """The current clicks, in the order in which they were added."""
        return self._history.clicks

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, each with action, user and time."""
        return self._history.steps

    @property
    def is_complete(self) -> bool:
        """Whether all windows were run, so that the label map covers the complete series."""
        return self._background.is_finished

    @property
    def label_map(self) -> LabelMap:
        """The label map on the source grid, after postprocessing; steps and the background run update it in place."""
        return self._view.labels

    def measurements(self) -> Mapping[int, SegmentMeasurements]:
        """Returns the measurements of each class in the label map, by class number."""
        return self._background.run_exclusively(self._measure)

    def wait(self) -> None:
        """Waits until all windows were run.

        Raises:
            EngineError: The network fails.
        """
        self._background.wait()

    def add_click(self, click: Click, user: str = "") -> Change:
        """Adds a click.

        Raises:
            ClickError: The click is outside the series or the box that the model sees, or the model does not use clicks
                of its label and polarity.
        """
        return self.add_clicks([click], user)

    def add_clicks(self, clicks: Sequence[Click], user: str = "") -> Change:
        """Adds several clicks. Each is a step of its own; the windows that they change are run once.

        Raises:
            ClickError: A click is outside the series, or the model does not use clicks of its label and polarity. Then
                no click is added.
        """
        reference = self._case.reference_series
        unbound = Clicks(to_items(clicks, Click, "clicks"), source="the new clicks")
        bound = bind_clicks(
            unbound, self._case.package.spec, reference.volume.get_geometry(), reference.files.series_uid
        )
        return self._submit(*(Step.make(Action.ADD, user, click=click) for click in bound.points))

    def remove_click(self, number: int, user: str = "") -> Change:
        """Removes a click.

        Args:
            number: The number of the click in ``clicks``, counted from 1.
            user: The name of the user.

        Raises:
            ClickError: There is no click with this number.
        """
        return self._submit(Step.make(Action.REMOVE, user, click_number=number))

    def undo(self, user: str = "") -> Change:
        """Undoes the last step.

        Raises:
            ClickError: There is no step to undo.
        """
        return self._submit(Step.make(Action.UNDO, user))

    def redo(self, user: str = "") -> Change:
        """Redoes the step that was undone last.

        Raises:
            ClickError: There is no step to redo.
        """
        return self._submit(Step.make(Action.REDO, user))

    def reset(self, user: str = "") -> Change:
        """Removes all clicks; this step can be undone, too."""
        return self._submit(Step.make(Action.RESET, user))

    def result(self) -> CaseResult:
        """Waits until all windows were run, and returns the result of ``clickseg segment`` with the same clicks.

        If the model requires a foreground click and has none, the result is empty; ``clickseg segment`` fails then.
        """
        self.wait()
        return self._background.run_exclusively(self._copy_result)

    def close(self) -> None:
        """Stops the background run, unlocks the folder, and closes the engine that the session loaded."""
        self._background.close()
        self._inference.close()
        if self._record:
            self._record.close()
        self._owned.close()

    def _submit(self, *steps: Step) -> Change:
        """Pauses the background run, and applies all of some steps or none."""
        start = time.perf_counter()
        box, windows_run = self._background.run_exclusively(lambda: self._apply_steps(steps))
        return Change(box, windows_run, time.perf_counter() - start)

    def _apply_steps(self, steps: Sequence[Step]) -> tuple[Box | None, int]:
        """Applies steps; returns the box in which classes changed, and the number of windows that were run.

        If it is interrupted before the steps are stored, none is applied. Afterwards, all are: the next ``_recover``
        completes them.
        """
        history = self._read_history().with_steps(*steps)
        self._recover()
        self._state = SessionState(Validity.STALE, self.clicks)
        changed = self._inference.update_clicks(history.clicks, no_progress)
        self._store(history)
        return self._update_view(changed), self._inference.windows_run

    def _recover(self) -> None:
        """Makes the state clean again if the previous step failed or was interrupted."""
        if self._state.validity is Validity.CLEAN:
            return
        clicks = self._read_history().clicks
        is_current = self._inference.is_current_for(clicks)
        if not is_current or self._state.clicks != clicks:  # the view lacks the changes before the interruption
            self._state = SessionState(Validity.IN_DOUBT, clicks)
        if not is_current:
            self._inference.update_clicks(clicks, no_progress)
        if self._state.validity is Validity.IN_DOUBT:
            self._update_view(None)
        self._state = SessionState(Validity.CLEAN, clicks)

    def _run_all(self, progress: Progress) -> None:
        """Runs all windows in the background; called again, from the first window, after each step that paused it."""
        self._inference.run_all(self._read_history().clicks, progress)
        self._update_view(self._full_box)

    def _read_history(self) -> History:
        """Returns the history that was stored; it includes a step that was interrupted after it was stored."""
        if self._record:
            self._history = self._record.history
        return self._history

    def _store(self, history: History) -> None:
        """Stores the history, on disk first: from then on, its steps are applied."""
        if self._record:
            self._record.store(history)
        self._history = history

    def _update_view(self, changed: Box | None) -> Box | None:
        """Updates the changed part of the view, or replaces a view in doubt; returns the box in which it changed."""
        if self._state.validity is Validity.IN_DOUBT:
            self._view, changed = self._make_view(), self._full_box
            self._measures = MeasurementCache(self._case.reference_series)
        self._state = SessionState(Validity.IN_DOUBT, self.clicks)
        visible = self._view.update(self._inference.labels, changed, self.clicks)
        if visible is not None:
            self._measures.invalidate(visible)
        self._state = SessionState(Validity.CLEAN, self.clicks)
        return visible

    @property
    def _full_box(self) -> Box:
        """The box of the complete source grid."""
        return full_box(self._inference.labels.array.shape[:3])

    def _make_view(self) -> ResultView:
        """Returns an empty view."""
        labels = self._inference.labels
        return make_view(
            replace(labels, array=np.zeros_like(labels.array)),
            self._case.reference_series.volume,
            self._case.package.spec,
            on_grid=self._inference.on_grid,
            postprocessing=self._postprocessing,
            memory_bytes=(self._memory.free_bytes() - self._inference.pending_bytes) // 2,
        )

    def _measure(self) -> Mapping[int, SegmentMeasurements]:
        self._recover()
        return self._measures.measure(self.label_map)

    def _copy_result(self) -> CaseResult:
        """Returns the current result; its label map is a copy."""
        self._recover()
        points, inference, engine = self.clicks, self._inference, self._engine
        clicks = Clicks(
            points, self._case.reference_series.volume.frame_of_reference_uid, source="session" if points else ""
        )
        windows = WindowSummary(self.window_count, inference.windows_reused, inference.logits_storage)
        case, labels = replace(self._case, clicks=clicks), self._view.labels.copy()
        predicted = PredictedCase(case, labels, engine.describe(), engine.weights, windows)
        return CaseResult(predicted, self._view.removed, self._measures.measure(labels))
