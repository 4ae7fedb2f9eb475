"""The steps of a run, for one series after another; an error of one series travels on, so that the others go on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from clickseg.batch.plan import Plan, Task
from clickseg.batch.settings import RunSettings
from clickseg.core.errors import ClickSegError, unexpected
from clickseg.core.interruption import interruptible
from clickseg.core.progress import Progress
from clickseg.dicom.series import Candidate
from clickseg.dicom.volume import Series, load_volume
from clickseg.inference.case import Case, Predicted, Prepared, Result
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.pipeline import finish, infer
from clickseg.inference.preprocess import make_case, prepare
from clickseg.inference.runtime_settings import RuntimeSettings
from clickseg.models.package import ModelPackage

logger = logging.getLogger(__name__)

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """One series between two steps.

    Attributes:
        candidate: The series.
        value: The result of the last step, or the error at which the series stopped.
        seconds: How long each step took.
    """

    candidate: Candidate
    value: T | ClickSegError
    seconds: Mapping[str, float]


def run_step(outcome: Outcome[T], step: str, function: Callable[[T], S]) -> Outcome[S]:
    """Runs one more step on a series, unless an earlier one failed.

    Args:
        outcome: The series, as the last step left it.
        step: The name of the step in the report.
        function: The step; whatever it raises becomes the value of the outcome.
    """
    if isinstance(outcome.value, ClickSegError):
        return Outcome(outcome.candidate, outcome.value, outcome.seconds)
    start = time.perf_counter()
    value: S | ClickSegError
    try:
        with interruptible():
            value = function(outcome.value)
    except ClickSegError as error:
        value = error
    except Exception as error:  # noqa: BLE001 - whatever befalls one series, the others go on
        value = unexpected(error)
    if isinstance(value, ClickSegError):
        logger.debug("%s failed", step, exc_info=value)
        _free_frames(value)
    return Outcome(outcome.candidate, value, {**outcome.seconds, step: time.perf_counter() - start})


def _free_frames(error: BaseException | None) -> None:
    """Frees the frames of an error and of its causes: they hold the volumes of the series that failed."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def load_cases(plan: Plan) -> Iterator[Outcome[Case]]:
    """Yields the cases of a plan, each read when it is asked for; then the series that failed in planning."""
    for task in plan.tasks:
        yield run_step(Outcome(task.candidate, task, {}), "reading", lambda each: _load(each, plan.package))
    for skipped in plan.failures:
        yield Outcome(skipped.candidate, skipped.reason, {})


def preprocess_case(outcome: Outcome[Case]) -> Outcome[Prepared]:
    """Brings a case to the model grid."""
    return run_step(outcome, "preprocessing", prepare)


class Inference:
    """The step that runs the network; it is loaded for the first series, and freed by ``close``."""

    def __init__(self, settings: RuntimeSettings, progress: Progress) -> None:
        self._settings = settings
        self._progress = progress
        self._loaded: Engine | None = None
        self._kernels = KernelChoice(settings.cache)

    def __call__(self, outcome: Outcome[Prepared]) -> Outcome[Predicted]:
        """Runs the network of a case."""
        return run_step(outcome, "inference", self._infer)

    def close(self) -> None:
        """Frees the network, if it was loaded."""
        if self._loaded is not None:
            self._loaded.close()

    def _infer(self, prepared: Prepared) -> Predicted:
        engine = self._engine(prepared.case.package)
        return infer(prepared, engine, self._progress, self._kernels, self._settings.memory)

    def _engine(self, package: ModelPackage) -> Engine:
        if self._loaded is None:
            self._loaded = make_engine(package, self._settings)
        return self._loaded


def postprocess_case(outcome: Outcome[Predicted], settings: RunSettings) -> Outcome[Result]:
    """Applies the model package's postprocessing, unless the user switched it off."""
    return run_step(outcome, "postprocessing", lambda each: finish(each, postprocessing=settings.postprocessing))


def _load(task: Task, package: ModelPackage) -> Case:
    series = [each if isinstance(each, Series) else load_volume(each) for each in task.series]
    return make_case(series, task.clicks, package, task.earlier)
