"""The steps of a run, for one series after another. If one series fails, its error is kept and the others continue."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from clickseg.batch.plan import PlannedCase, RunPlan
from clickseg.batch.settings import RunSettings
from clickseg.core.errors import ClickSegError, unexpected_error
from clickseg.core.interruption import replace_error_by_interruption
from clickseg.core.progress import Progress
from clickseg.dicom.series_files import SeriesFiles
from clickseg.dicom.volume import SeriesVolume, load_volume
from clickseg.inference.case import Case, CaseResult, PredictedCase, PreprocessedCase
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.pipeline import infer, postprocess_and_measure
from clickseg.inference.preprocess import make_case, preprocess
from clickseg.inference.runtime_settings import RuntimeSettings
from clickseg.models.package import ModelPackage

logger = logging.getLogger(__name__)

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """One series between two steps.

    Attributes:
        series_files: The files of the series.
        value: The result of the last step, or the error that stopped the series.
        seconds: The duration of each step.
    """

    series_files: SeriesFiles
    value: T | ClickSegError
    seconds: Mapping[str, float]


def run_step(outcome: Outcome[T], step: str, function: Callable[[T], S]) -> Outcome[S]:
    """Runs the next step on a series, unless an earlier step failed.

    Args:
        outcome: The outcome of the previous step.
        step: The name of the step in the report.
        function: The step; an exception that it raises becomes the value of the outcome.
    """
    if isinstance(outcome.value, ClickSegError):
        return Outcome(outcome.series_files, outcome.value, outcome.seconds)
    start = time.perf_counter()
    value: S | ClickSegError
    try:
        with replace_error_by_interruption():
            value = function(outcome.value)
    except ClickSegError as error:
        value = error
    except Exception as error:  # noqa: BLE001 - a failure of one series must not stop the others
        value = unexpected_error(error)
    if isinstance(value, ClickSegError):
        logger.debug("%s failed", step, exc_info=value)
        _clear_tracebacks(value)
    return Outcome(outcome.series_files, value, {**outcome.seconds, step: time.perf_counter() - start})


def _clear_tracebacks(error: BaseException | None) -> None:
    """Clears the tracebacks of an error and of its causes: their frames hold the volumes of the failed series."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def load_cases(plan: RunPlan) -> Iterator[Outcome[Case]]:
    """Yields the cases of a plan, each loaded when it is requested; then the series that failed during planning."""
    for case in plan.cases:
        yield run_step(Outcome(case.series_files, case, {}), "reading", lambda case: _load_case(case, plan.package))
    for skipped in plan.failures:
        yield Outcome(skipped.files, skipped.reason, {})


def preprocess_case(outcome: Outcome[Case]) -> Outcome[PreprocessedCase]:
    """Resamples a case to the model grid."""
    return run_step(outcome, "preprocessing", preprocess)


class InferenceStep:
    """The inference step. The network is loaded for the first series, and freed by ``close``."""

    def __init__(self, settings: RuntimeSettings, progress: Progress) -> None:
        self._settings = settings
        self._progress = progress
        self._loaded_engine: Engine | None = None
        self._kernels = KernelChoice(settings.cache)

    def __call__(self, outcome: Outcome[PreprocessedCase]) -> Outcome[PredictedCase]:
        """Runs the network on a case."""
        return run_step(outcome, "inference", self._infer)

    def close(self) -> None:
        """Frees the network, if it was loaded."""
        if self._loaded_engine is not None:
            self._loaded_engine.close()

    def _infer(self, case: PreprocessedCase) -> PredictedCase:
        engine = self._engine(case.case.package)
        return infer(case, engine, self._progress, self._kernels, self._settings.memory)

    def _engine(self, package: ModelPackage) -> Engine:
        if self._loaded_engine is None:
            self._loaded_engine = make_engine(package, self._settings)
        return self._loaded_engine


def postprocess_case(outcome: Outcome[PredictedCase], settings: RunSettings) -> Outcome[CaseResult]:
    """Applies the model package's postprocessing, unless the user switched it off."""
    return run_step(
        outcome, "postprocessing", lambda case: postprocess_and_measure(case, postprocessing=settings.postprocessing)
    )


def _load_case(case: PlannedCase, package: ModelPackage) -> Case:
    volumes = [series if isinstance(series, SeriesVolume) else load_volume(series) for series in case.series]
    return make_case(volumes, case.clicks, package, case.predecessors)
