"""The steps of a run, as the doors take them: load, prepare, infer, finish, for one series after another."""

from __future__ import annotations

from collections.abc import Iterator

from clickseg.batch.outcome import Outcome
from clickseg.batch.plan import Plan, Task
from clickseg.batch.settings import RunSettings
from clickseg.case import Case, Predicted, Prepared, Result
from clickseg.dicom.volume import read_series
from clickseg.engines.choice import make_engine
from clickseg.engines.engine import Engine
from clickseg.inference.kernel_choice import KernelChoice
from clickseg.inference.runtime_settings import RuntimeSettings
from clickseg.models.package import ModelPackage
from clickseg.pipeline import finish, infer
from clickseg.preparation import make_case, prepare
from clickseg.progress import Progress


def load_cases(plan: Plan) -> Iterator[Outcome[Case]]:
    """Yields the cases of a plan, each read when it is asked for; then what cannot be one."""
    for task in plan.tasks:
        yield Outcome(task.candidate, task, {}).then("reading", lambda each: _load(each, plan.package))
    for lacking in plan.lacking:
        yield Outcome(lacking.candidate, lacking.reason, {})


def prepare_case(outcome: Outcome[Case]) -> Outcome[Prepared]:
    """Brings a case to the model grid."""
    return outcome.then("preprocessing", prepare)


def finish_case(outcome: Outcome[Predicted], settings: RunSettings) -> Outcome[Result]:
    """Applies the model package's postprocessing, unless the user switched it off."""
    return outcome.then("postprocessing", lambda each: finish(each, postprocessing=settings.postprocessing))


class Inference:
    """The step that runs the network; it is loaded for the first series."""

    def __init__(self, settings: RuntimeSettings, progress: Progress) -> None:
        self._settings = settings
        self._progress = progress
        self._loaded: Engine | None = None
        self._kernels = KernelChoice(settings.cache)

    def __call__(self, outcome: Outcome[Prepared]) -> Outcome[Predicted]:
        """Runs the network of a case."""
        return outcome.then("inference", lambda each: self._infer(each))

    def _infer(self, prepared: Prepared) -> Predicted:
        return infer(
            prepared, self._engine(prepared.case.package), self._progress, self._kernels, self._settings.memory
        )

    def _engine(self, package: ModelPackage) -> Engine:
        if self._loaded is None:
            self._loaded = make_engine(package, self._settings)
        return self._loaded


def _load(task: Task, package: ModelPackage) -> Case:
    return make_case([read_series(series) for series in task.series], task.clicks, package, task.earlier)
