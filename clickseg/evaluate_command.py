"""``clickseg evaluate``: what a model is worth on a labelled data set, click by click."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clickseg.datasets.case import CaseFiles
from clickseg.datasets.find import find_cases_for
from clickseg.datasets.read import read_case
from clickseg.engines.choice import make_engine
from clickseg.errors import ClickSegError, InputError, UsageError
from clickseg.evaluation.dataset import Evaluated, Evaluation, Failed
from clickseg.evaluation.protocols.choice import ProtocolName, make_protocol
from clickseg.evaluation.report import SUMMARY, write_report
from clickseg.evaluation.summary import Summary
from clickseg.inference.kernel_choice import KernelChoice
from clickseg.models.choice import find_packages
from clickseg.models.package import ModelPackage, is_package, load_package
from clickseg.progress import Progress
from clickseg.settings import Settings
from clickseg.staging import Staging
from clickseg.wording import counted

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is evaluated how.

    Attributes:
        protocol: The name of the protocol.
        steps: How many steps its user makes; None for as many as it says.
        seed: What its random choices begin with; None for its own.
        folds: The parts of a cross-validation whose cases are taken; none for all.
    """

    protocol: ProtocolName
    steps: int | None
    seed: int | None
    folds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Evaluations:
    """What came of it.

    Attributes:
        lines: What was found and where it lies.
        errors: The errors of the cases that failed.
    """

    lines: tuple[str, ...]
    errors: tuple[ClickSegError, ...]


def evaluate(settings: Settings, wanted: Wanted, progress: Progress) -> Evaluations:
    """Evaluates a model, and writes a report of it, unless no case could be evaluated.

    Args:
        settings: The model by its name or path, the data set as input, the report's folder as output, and the engine.
        wanted: What is evaluated how.
        progress: Told after each step of each case.

    Raises:
        ClickSegError: There is no such model, or no case; or the report cannot be written.
    """
    protocol = make_protocol(wanted.protocol, wanted.steps, wanted.seed)
    package = _package(settings)
    cases = _of_folds(find_cases_for(settings.input, package.spec), wanted.folds, settings.input)
    logger.info("%s: model %s, protocol %s", counted(len(cases), "case"), package.name, protocol.name)
    engine = make_engine(package, settings.runtime, settings.device, settings.precision, settings.cache)
    with Staging(settings.output, SUMMARY) as staging:
        evaluation = Evaluation(
            package,
            engine,
            protocol,
            postprocessing=settings.postprocessing,
            memory=settings.memory,
            kernels=KernelChoice(settings.cache),
            read=read_case,
        )
        outcomes = list(evaluation.of(cases, progress))
        done = [each for each in outcomes if isinstance(each, Evaluated)]
        failed = [each for each in outcomes if isinstance(each, Failed)]
        lines: tuple[str, ...] = ()
        if done:
            summaries = write_report(staging, evaluation, done, failed, wanted.folds, settings.clock)
            staging.publish()
            lines = _lines(summaries, settings.output)
    return Evaluations(lines, tuple(_error(each) for each in failed))


def _package(settings: Settings) -> ModelPackage:
    """Returns the model: the package at a path, else the one of the name."""
    name = settings.model or ""
    if is_package(Path(name)):
        return load_package(Path(name))
    return find_packages(settings.models, name)[0]


def _of_folds(cases: Sequence[CaseFiles], folds: Sequence[int], data: Path) -> list[CaseFiles]:
    known = sorted({case.fold for case in cases if case.fold is not None})
    unknown = [fold for fold in folds if fold not in known]
    if unknown:
        said = ", ".join(str(fold) for fold in known) or "no folds in the data set"
        raise UsageError(f"fold: expected one of those of {data}: {said}; got {unknown[0]}")
    chosen = [case for case in cases if not folds or case.fold in folds]
    if not chosen:
        raise InputError(f"{data}: expected at least one labelled case, got none")
    return chosen


def _error(failed: Failed) -> ClickSegError:
    return ClickSegError(f"{failed.name}: {failed.error}", hint=failed.error.hint)


def _lines(summaries: Sequence[Summary], output: Path) -> tuple[str, ...]:
    def line(summary: Summary) -> str:
        first, last = summary.steps[0], summary.steps[-1]
        return (
            f"{summary.label}, {summary.method}: median Dice {first.dice.median:.3f} without clicks, "
            f"{last.dice.median:.3f} after step {last.step} ({counted(summary.cases, 'case')})"
        )

    return (*(line(summary) for summary in summaries), f"report    {output / 'report.html'}")
