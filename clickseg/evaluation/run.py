"""One evaluation, from a labelled dataset to a report of what a model is worth, click by click."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from clickseg.core.errors import ClickSegError, UsageError
from clickseg.core.progress import Progress
from clickseg.core.staging import Staging
from clickseg.core.text import counted
from clickseg.datasets.case import CaseFiles, digests_of
from clickseg.datasets.find import find_cases_for
from clickseg.datasets.folds import fold_of, make_folds
from clickseg.datasets.read import read_case
from clickseg.datasets.regions import Classes, names_of
from clickseg.evaluation.evaluate import Evaluated, EvaluatedDataset, Evaluation, Failed
from clickseg.evaluation.protocols import ProtocolName, make_protocol
from clickseg.evaluation.report import SUMMARY, write_report
from clickseg.evaluation.summary import Summary
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.runtime_settings import RuntimeSettings
from clickseg.models.find import ModelPath, find_packages
from clickseg.models.package import ModelPackage, is_package, load_package
from clickseg.session.options import SessionOptions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """The settings of an evaluation.

    Attributes:
        data: The labelled cases: a folder, or a datalist.
        output: The folder for the report.
        models: Where to look for model packages, in order.
        model: The name of the model package, or its path.
        protocol: The name of the protocol.
        runtime: How the network is run.
        clock: The time that is stamped on the report.
        postprocessing: Whether the model package's postprocessing is applied.
        steps: How many steps its user makes; None for as many as the protocol says.
        seed: What its random choices begin with; None for its own.
        chosen: The parts of a cross-validation whose cases are taken, from 0; none for all.
        folds: How many parts there are, where the dataset does not say it.
        truth: The names of each class in SEG and RTSTRUCT; none for those of the model.
    """

    data: Path
    output: Path
    models: tuple[ModelPath, ...]
    model: str
    protocol: ProtocolName
    runtime: RuntimeSettings
    clock: datetime
    postprocessing: bool = True
    steps: int | None = None
    seed: int | None = None
    chosen: tuple[int, ...] = ()
    folds: int = 5
    truth: Classes = ()


@dataclass(frozen=True, slots=True)
class Evaluations:
    """What came of it.

    Attributes:
        lines: What was found and where it lies.
        errors: The errors of the cases that failed.
    """

    lines: tuple[str, ...]
    errors: tuple[ClickSegError, ...]


def evaluate(settings: EvaluationSettings, progress: Progress) -> Evaluations:
    """Evaluates a model, and writes a report of it, unless no case could be evaluated.

    Args:
        settings: The settings.
        progress: Told after each step of each case.

    Raises:
        ClickSegError: There is no such model, or no case; or the report cannot be written.
    """
    protocol = make_protocol(settings.protocol, settings.steps, settings.seed)
    package = _package(settings)
    classes = _names(settings.truth, package)
    cases = _chosen(find_cases_for(settings.data, package.spec), settings)
    logger.info("%s: model %s, protocol %s", counted(len(cases), "case"), package.name, protocol.name)
    evaluation = Evaluation(
        package,
        make_engine(package, settings.runtime),
        protocol,
        SessionOptions(settings.runtime.memory, KernelChoice(settings.runtime.cache), settings.postprocessing),
        read=lambda files: read_case(files, classes),
    )
    with Staging(settings.output, SUMMARY) as staging:
        outcomes = list(evaluation.of(cases, progress))
        lines = _published(cases, outcomes, evaluation, settings, staging)
    return Evaluations(lines, tuple(_error(each) for each in outcomes if isinstance(each, Failed)))


def _published(
    cases: Sequence[CaseFiles],
    outcomes: Sequence[Evaluated | Failed],
    evaluation: Evaluation,
    settings: EvaluationSettings,
    staging: Staging,
) -> tuple[str, ...]:
    """Publishes the report, and returns what is said of it; nothing where no case could be evaluated."""
    done = [each for each in outcomes if isinstance(each, Evaluated)]
    failed = [each for each in outcomes if isinstance(each, Failed)]
    if not done:
        return ()
    names = {each.name for each in done}
    sha256 = digests_of([case for case in cases if case.name in names]).sha256
    dataset = EvaluatedDataset(done, failed, settings.chosen, sha256)
    summaries = write_report(staging, evaluation, dataset, settings.clock)
    staging.publish()
    return _lines(summaries, settings.output)


def _package(settings: EvaluationSettings) -> ModelPackage:
    """Returns the model: the package at a path, else the one of the name."""
    if is_package(Path(settings.model)):
        return load_package(Path(settings.model))
    return find_packages(settings.models, settings.model)[0]


def _names(truth: Classes, package: ModelPackage) -> Classes:
    classes = package.spec.classes
    if len(truth) > len(classes):
        raise UsageError(
            f"truth: expected names of at most {len(classes)} class{'es' if len(classes) > 1 else ''}, got {len(truth)}"
        )
    return names_of(truth, classes)


def _chosen(cases: Sequence[CaseFiles], settings: EvaluationSettings) -> tuple[CaseFiles, ...]:
    """Returns the cases that are evaluated, each with its fold where folds were asked for."""
    if not settings.chosen:
        return tuple(cases)
    folds = make_folds(cases, settings.folds)
    chosen = [fold_of(folds, number) for number in sorted({*settings.chosen})]
    return tuple(replace(case, fold=fold.number) for fold in chosen for case in fold.held_out)


def _error(failed: Failed) -> ClickSegError:
    return ClickSegError(f"{failed.name}: {failed.error}", hint=failed.error.hint)


def _lines(summaries: Sequence[Summary], output: Path) -> tuple[str, ...]:
    def line(summary: Summary) -> str:
        first, last = summary.steps[0], summary.steps[-1]
        after = f", {last.dice.median:.3f} after step {last.step}" if last.step else ""
        return (
            f"{summary.label} in {summary.modality}, {summary.method}: "
            f"median Dice {first.dice.median:.3f} without clicks{after} ({counted(summary.cases, 'case')})"
        )

    return (*(line(summary) for summary in summaries), f"report    {output / 'report.html'}")
