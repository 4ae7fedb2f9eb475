"""A series, a model, and clicks one after another."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

import numpy as np
from typing_extensions import Self

from clickseg.boxes import Box, whole
from clickseg.case import Predicted, Result, Windows
from clickseg.clicks.click import Click, Clicks
from clickseg.dicom.predecessor import EarlierResult
from clickseg.dicom.volume import Series
from clickseg.engines.engine import Engine
from clickseg.errors import SessionError
from clickseg.incremental.first_run import FirstRun
from clickseg.incremental.history import Action, History, Points, Step
from clickseg.incremental.live import Live
from clickseg.incremental.live_postprocess import LivePostprocess
from clickseg.incremental.record import Record, subject
from clickseg.incremental.shown import AsAWhole, AsItIs, OnceClicked, Shown
from clickseg.inference.binding import bind
from clickseg.inference.kernel_choice import KernelChoice
from clickseg.label_map import LabelMap
from clickseg.measure import Measured
from clickseg.measures import Measures
from clickseg.memory import Memory, machine_limit_bytes
from clickseg.models.package import ModelPackage
from clickseg.preparation import make_case, prepare
from clickseg.progress import Progress, no_progress

_LONGEST_USER = 200


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
    """

    def __init__(
        self,
        series: Sequence[Series],
        package: ModelPackage,
        engine: Engine,
        *,
        folder: Path | None = None,
        memory: Memory | None = None,
        kernels: KernelChoice | None = None,
        postprocessing: bool = True,
        progress: Progress = no_progress,
        earlier: tuple[EarlierResult, ...] = (),
    ) -> None:
        """Opens a session, or goes on with the one in a folder.

        Args:
            series: One series for each input of the model; the result refers to the first.
            package: The model.
            engine: Its network, loaded; used by the session alone while it is open.
            folder: Where each step is kept; None for a session that ends with the process.
            memory: What the process may take; by default what the machine has.
            kernels: The loops over voxels.
            postprocessing: Whether the package's postprocessing is applied.
            progress: Told after each window of the run in the background; it must not call the session.
            earlier: Results of earlier runs for the series, the newest first; ``result`` refers to them.

        Raises:
            ModelError: A series is not what the model takes.
            SessionError: The folder holds a session of other data, weights or engine, or is in use.
            OutputError: The folder cannot be written to.
        """
        self._case = make_case(series, Clicks(), package, earlier)
        self._engine = engine
        self._memory = memory or Memory(machine_limit_bytes(), Path(tempfile.gettempdir()))
        self._postprocessing = postprocessing
        with ExitStack() as undone:
            self._record = Record(folder, subject(self._case, engine)) if folder else None
            if self._record:
                undone.callback(self._record.close)
            self._live = Live(
                prepare(self._case),
                engine,
                self._memory,
                kernels or KernelChoice(),
                folder=folder,
                session=self._record.subject.digest if self._record else b"",
            )
            undone.callback(self._live.close)
            self._history = self._record.history if self._record else History()
            self._live.begin_with(self._history.clicks)
            self._shown = self._nothing_shown()
            self._shown_of: Points | None = self.clicks
            self._measures = Measures(self._case.reference)
            self._first = FirstRun(self._run_all, progress)
            undone.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def clicks(self) -> Points:
        """The clicks that there are, in the order in which they were made."""
        return self._history.clicks

    @property
    def steps(self) -> tuple[Step, ...]:
        """All that was done: who did what when."""
        return self._history.steps

    @property
    def windows(self) -> int:
        """How many windows there are."""
        return self._live.windows

    @property
    def is_complete(self) -> bool:
        """Whether all windows were run, so that the label map is that of all of the series."""
        return self._first.is_over

    @property
    def labels(self) -> LabelMap:
        """The label map on the source grid, after postprocessing; a step and the end of the first run change it."""
        return self._shown.labels

    def measured(self) -> Mapping[int, Measured]:
        """Returns the measurements of each class that is found, by its number; only what changed is measured anew."""
        return self._first.ahead(self._measured)

    def wait(self) -> None:
        """Returns when all windows were run.

        Raises:
            EngineError: The network fails.
        """
        self._first.wait()

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
        unbound = Clicks(tuple(clicks), source="the session")
        bound = bind(unbound, self._case.package.spec, reference.volume.get_geometry(), reference.candidate.series_uid)
        return self._do([self._step(Action.ADD, user, click=click) for click in bound.points])

    def remove_click(self, number: int, user: str = "") -> Change:
        """Removes a click.

        Args:
            number: Which one of ``clicks``, counted from 1.
            user: Who does it.

        Raises:
            ClickError: There is none of that number.
        """
        return self._do([self._step(Action.REMOVE, user, number=number)])

    def undo(self, user: str = "") -> Change:
        """Takes the last step back.

        Raises:
            ClickError: There is none.
        """
        return self._do([self._step(Action.UNDO, user)])

    def redo(self, user: str = "") -> Change:
        """Does again what was undone.

        Raises:
            ClickError: Nothing was.
        """
        return self._do([self._step(Action.REDO, user)])

    def reset(self, user: str = "") -> Change:
        """Removes all clicks; this can be undone too."""
        return self._do([self._step(Action.RESET, user)])

    def result(self) -> Result:
        """Returns what ``clickseg segment`` gives with the same clicks, when all windows were run.

        Nothing is found where the model needs a foreground click and has none; ``clickseg segment`` refuses that.
        """
        self.wait()
        return self._first.ahead(self._finished)

    def close(self) -> None:
        """Ends the work in the background, and gives the folder free."""
        self._first.close()
        self._live.close()
        if self._record:
            self._record.close()

    def _do(self, steps: Sequence[Step]) -> Change:
        """Does some steps, or none of them."""
        start = time.perf_counter()
        box, ran = self._first.ahead(lambda: self._done(steps))
        return Change(box, ran, time.perf_counter() - start)

    def _done(self, steps: Sequence[Step]) -> tuple[Box | None, int]:
        """Returns where classes changed, and how many windows were run.

        Interrupted before the steps are kept, it has not done them, and afterwards it has: ``_catch_up`` sees to it.
        """
        history = self._kept()
        for step in steps:
            history = history.after(step)
        self._catch_up()
        anew = self._live.move_to(history.clicks, no_progress)
        if self._record:
            self._record.keep(history)
        self._history = history
        return self._show(anew), self._live.ran

    def _run_all(self, progress: Progress) -> None:
        self._live.run_all(self._kept().clicks, progress)
        self._show(self._everything)

    def _measured(self) -> Mapping[int, Measured]:
        self._catch_up()
        return self._measures.of(self.labels)

    def _kept(self) -> History:
        """Returns what was done: a step that was interrupted when it had been kept counts."""
        if self._record:
            self._history = self._record.history
        return self._history

    def _catch_up(self) -> None:
        """Goes to the clicks that there are, and shows them, where a step that was interrupted or failed did not."""
        clicks, anew = self._kept().clicks, None
        if not self._live.is_at(clicks):
            anew = self._live.move_to(clicks, no_progress)
        if self._shown_of != clicks:
            self._shown_of = None
        if anew or self._shown_of is None:
            self._show(anew)

    def _show(self, anew: Box | None) -> Box | None:
        """Shows what was decided anew, or all of it where that was interrupted before; returns where it is another."""
        if self._shown_of is None:
            self._shown, anew = self._nothing_shown(), self._everything
            self._measures = Measures(self._case.reference)
        self._shown_of = None
        box = self._shown.update(self._live.labels, anew, self.clicks)
        if box is not None:
            self._measures.forget(box)
        self._shown_of = self.clicks
        return box

    @property
    def _everything(self) -> Box:
        return whole(self._live.labels.array.shape[:3])

    def _nothing_shown(self) -> Shown:
        """Returns what is shown of a label map that is empty yet."""
        guidance, left = self._case.package.spec.guidance, self._nothing_left()
        return OnceClicked(left) if guidance and guidance.required else left

    def _nothing_left(self) -> Shown:
        """Returns what postprocessing leaves of a label map that is empty yet."""
        spec, volume, labels = self._case.package.spec, self._case.reference.volume, self._live.labels
        empty = replace(labels, array=np.zeros_like(labels.array))
        if not self._postprocessing or spec.postprocessing.keeps_everything:
            return AsItIs(empty)
        if LivePostprocess.bytes_of(labels) <= (self._memory.left() - self._live.bytes_to_come) // 2:
            return LivePostprocess(empty, volume, spec)
        return AsAWhole(empty, volume, spec)

    def _finished(self) -> Result:
        """Returns the result as it is now, in memory of its own."""
        self._catch_up()
        points, live = self.clicks, self._live
        clicks = Clicks(points, self._case.reference.volume.frame_of_reference_uid, source="session" if points else "")
        counted = Windows(live.windows, live.repeated, live.logits_at)
        case, labels = replace(self._case, clicks=clicks), self._shown.labels.copied()
        predicted = Predicted(case, labels, self._engine.describe(), self._engine.weights, counted)
        return Result(predicted, self._shown.removed, self._measures.of(labels))

    def _step(self, action: Action, user: str, click: Click | None = None, number: int | None = None) -> Step:
        if not (user.isprintable() and len(user) <= _LONGEST_USER):  # what cannot be read again is not kept
            raise SessionError(
                f"user: expected a name of at most {_LONGEST_USER} characters that can be printed, got {user!a:.80}"
            )
        return Step(action, user, datetime.now(timezone.utc).isoformat(timespec="milliseconds"), click, number)
