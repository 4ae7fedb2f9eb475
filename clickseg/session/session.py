"""A session: one series, one model, and clicks one after another.

The way of a click: ``Session.add_click`` checks it and makes a step of it, ``_run`` lets the step go ahead of the work
in the background, and ``_take`` is the list of what is done: an interrupted step is completed, the windows that changed
are run, the step is kept, the result is shown.
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

from clickseg.clicks.click import Click, Clicks, Points
from clickseg.core.arguments import check_type, to_items, to_path
from clickseg.core.arrays import Box, whole
from clickseg.core.label_map import LabelMap
from clickseg.core.memory import machine_memory
from clickseg.core.progress import Progress, no_progress
from clickseg.dicom.volume import Series
from clickseg.inference.case import Predicted, Result, Windows
from clickseg.inference.click_binding import bind
from clickseg.inference.engines.engine import Engine
from clickseg.inference.incremental import IncrementalInference, Persistence
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.measurements import Measured, Measures
from clickseg.inference.preprocess import make_case, prepare
from clickseg.models.package import ModelPackage
from clickseg.session.background import FirstRun
from clickseg.session.engine import open_engine
from clickseg.session.history import Action, History, Step
from clickseg.session.options import SessionOptions
from clickseg.session.postprocess import ResultView, make_view
from clickseg.session.record import Record, subject
from clickseg.session.state import State, Validity

_DEFAULTS = SessionOptions()


@dataclass(frozen=True, slots=True)
class Change:
    """What one step changed.

    Attributes:
        box: The smallest box [K, J, I] of the source grid that holds all voxels whose classes changed; None where no
            voxel did.
        windows_run: How many windows were run.
        seconds: From the step to the new label map.
    """

    box: Box | None
    windows_run: int
    seconds: float


class Session:
    """A series and a model; each click runs only the windows that it touches, to the bytes of a full run.

    The run without clicks begins in the background when a session is opened; a click that comes meanwhile goes first.
    With a folder, each step is kept there before it is returned, and another process goes on from it.

    Attributes:
        windows: How many windows there are.
    """

    def __init__(
        self,
        series: Series | Sequence[Series],
        model: ModelPackage,
        *,
        folder: str | os.PathLike[str] | None = None,
        device: str = "auto",
        engine: Engine | None = None,
        options: SessionOptions = _DEFAULTS,
    ) -> None:
        """Opens a session, or goes on with the one in a folder.

        Args:
            series: The series, or one for each input of the model; the result refers to the first.
            model: The model.
            folder: Where each step is kept; None for a session that ends with the process.
            device: Where the model runs: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
            engine: The model's network, loaded, which no other session uses meanwhile; it stays open. None to load
                it, and to close it with the session.
            options: Everything else.

        Raises:
            ModelError: A series is not what the model takes, or the model's weights are damaged.
            EngineError: No runtime here runs the model on this device.
            SessionError: The folder holds a session of other data, weights or engine, or is in use; or the engine
                runs on another device.
            OutputError: The folder cannot be written to.
            UsageError: There is no such device, or an argument is of another type.
        """
        check_type(model, ModelPackage, "model")
        path = None if folder is None else to_path(folder, "folder")
        several = to_items(series, Series, "series")
        self._case = make_case(several, Clicks(), model, options.earlier)
        self._memory = options.memory or machine_memory()
        self._postprocessing = options.postprocessing
        self._owned = ExitStack()
        with ExitStack() as undo:
            undo.callback(self._owned.close)
            self._engine = self._owned.enter_context(open_engine(model, device, engine))
            self._record = Record(path, subject(self._case, self._engine)) if path else None
            if self._record:
                undo.callback(self._record.close)
            self._inference = IncrementalInference(
                prepare(self._case),
                self._engine,
                self._memory,
                options.kernels or KernelChoice(),
                persistence=Persistence(path, self._record.subject.digest) if path and self._record else None,
            )
            undo.callback(self._inference.close)
            self.windows = len(self._inference.grid)
            self._history = self._record.history if self._record else History()
            self._inference.begin_with(self.clicks)
            is_current = self._inference.is_at(self.clicks)
            self._state = State(Validity.CLEAN if is_current else Validity.STALE, self.clicks)
            self._view = self._make_view()
            self._measures = Measures(self._case.reference)
            self._background = FirstRun(self._run_all, options.progress)
            undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def clicks(self) -> Points:
        """The current clicks, in the order in which they were made."""
        return self._history.clicks

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps: who did what when."""
        return self._history.steps

    @property
    def is_complete(self) -> bool:
        """Whether all windows were run, so that the label map is that of the whole series."""
        return self._background.is_over

    @property
    def labels(self) -> LabelMap:
        """The label map on the source grid, after postprocessing; a step and the end of the first run change it."""
        return self._view.labels

    def measured(self) -> Mapping[int, Measured]:
        """Returns the measurements of each class that was found, by its number; only what changed is measured again."""
        return self._background.ahead(self._measure)

    def wait(self) -> None:
        """Returns when all windows were run.

        Raises:
            EngineError: The network fails.
        """
        self._background.wait()

    def add_click(self, click: Click, user: str = "") -> Change:
        """Adds a click.

        Raises:
            ClickError: It lies outside, or the model does not take it.
        """
        return self.add_clicks([click], user)

    def add_clicks(self, clicks: Sequence[Click], user: str = "") -> Change:
        """Adds clicks, a step each; what they change together is run at once.

        Raises:
            ClickError: One lies outside, or the model does not take it; then none is added.
        """
        reference = self._case.reference
        unbound = Clicks(to_items(clicks, Click, "clicks"), source="the session")
        bound = bind(unbound, self._case.package.spec, reference.volume.get_geometry(), reference.candidate.series_uid)
        return self._run(*(Step.now(Action.ADD, user, click=click) for click in bound.points))

    def remove_click(self, number: int, user: str = "") -> Change:
        """Removes a click.

        Args:
            number: Which one of ``clicks``, counted from 1.
            user: Who does it.

        Raises:
            ClickError: There is none of that number.
        """
        return self._run(Step.now(Action.REMOVE, user, number=number))

    def undo(self, user: str = "") -> Change:
        """Takes the last step back.

        Raises:
            ClickError: There is none.
        """
        return self._run(Step.now(Action.UNDO, user))

    def redo(self, user: str = "") -> Change:
        """Does again what was undone.

        Raises:
            ClickError: Nothing was.
        """
        return self._run(Step.now(Action.REDO, user))

    def reset(self, user: str = "") -> Change:
        """Removes all clicks; this can be undone too."""
        return self._run(Step.now(Action.RESET, user))

    def result(self) -> Result:
        """Returns what ``clickseg segment`` gives with the same clicks, when all windows were run.

        Nothing is found where the model requires a foreground click and has none; ``clickseg segment`` refuses that.
        """
        self.wait()
        return self._background.ahead(self._copy_result)

    def close(self) -> None:
        """Stops the work in the background, unlocks the folder, and closes the engine that the session loaded."""
        self._background.close()
        self._inference.close()
        if self._record:
            self._record.close()
        self._owned.close()

    def _run(self, *steps: Step) -> Change:
        """Takes some steps ahead of the work in the background: all of them, or none."""
        start = time.perf_counter()
        box, ran = self._background.ahead(lambda: self._take(steps))
        return Change(box, ran, time.perf_counter() - start)

    def _take(self, steps: Sequence[Step]) -> tuple[Box | None, int]:
        """Takes some steps; returns where classes changed, and how many windows were run.

        Interrupted before the steps are kept, none is done; afterwards all are: the next ``_catch_up`` completes them.
        """
        history = self._read_history().after(*steps)
        self._catch_up()
        self._state = State(Validity.STALE, self.clicks)
        decided = self._inference.move_to(history.clicks, no_progress)
        self._keep(history)
        return self._update_view(decided), self._inference.ran

    def _catch_up(self) -> None:
        """Makes the state clean where a step that failed or was interrupted left it otherwise."""
        if self._state.validity is Validity.CLEAN:
            return
        clicks = self._read_history().clicks
        is_current = self._inference.is_at(clicks)
        if not is_current or self._state.clicks != clicks:  # the view lacks what was decided before the interruption
            self._state = State(Validity.IN_DOUBT, clicks)
        if not is_current:
            self._inference.move_to(clicks, no_progress)
        if self._state.validity is Validity.IN_DOUBT:
            self._update_view(None)
        self._state = State(Validity.CLEAN, clicks)

    def _run_all(self, progress: Progress) -> None:
        """Runs all windows; in the background, and again from the start after each step that went ahead."""
        self._inference.run_all(self._read_history().clicks, progress)
        self._update_view(self._everything)

    def _read_history(self) -> History:
        """Returns the steps that were kept: one that was interrupted afterwards is among them."""
        if self._record:
            self._history = self._record.history
        return self._history

    def _keep(self, history: History) -> None:
        """Keeps the history, on disk first: from then on its steps are done."""
        if self._record:
            self._record.keep(history)
        self._history = history

    def _update_view(self, decided: Box | None) -> Box | None:
        """Shows what was decided, or everything in a new view where the view is in doubt; returns where it changed."""
        if self._state.validity is Validity.IN_DOUBT:
            self._view, decided = self._make_view(), self._everything
            self._measures = Measures(self._case.reference)
        self._state = State(Validity.IN_DOUBT, self.clicks)
        changed = self._view.update(self._inference.labels, decided, self.clicks)
        if changed is not None:
            self._measures.forget(changed)
        self._state = State(Validity.CLEAN, self.clicks)
        return changed

    @property
    def _everything(self) -> Box:
        """The source grid."""
        return whole(self._inference.labels.array.shape[:3])

    def _make_view(self) -> ResultView:
        """Returns a view that is empty yet."""
        labels = self._inference.labels
        return make_view(
            replace(labels, array=np.zeros_like(labels.array)),
            self._case.reference.volume,
            self._case.package.spec,
            postprocessing=self._postprocessing,
            memory_bytes=(self._memory.left() - self._inference.bytes_to_come) // 2,
        )

    def _measure(self) -> Mapping[int, Measured]:
        self._catch_up()
        return self._measures.of(self.labels)

    def _copy_result(self) -> Result:
        """Returns the current result, in memory of its own."""
        self._catch_up()
        points, inference, engine = self.clicks, self._inference, self._engine
        clicks = Clicks(points, self._case.reference.volume.frame_of_reference_uid, source="session" if points else "")
        windows = Windows(self.windows, inference.repeated, inference.logits_at)
        case, labels = replace(self._case, clicks=clicks), self._view.labels.copied()
        predicted = Predicted(case, labels, engine.describe(), engine.weights, windows)
        return Result(predicted, self._view.removed, self._measures.of(labels))
