"""A complete evaluation: from a labelled dataset to a report with the scores after each interaction step."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from clickseg.core.errors import ClickSegError, UsageError
from clickseg.core.progress import Progress
from clickseg.core.staging import Staging
from clickseg.core.text import format_count
from clickseg.datasets.case import CaseFiles, compute_digests
from clickseg.datasets.find import find_model_cases
from clickseg.datasets.folds import find_fold, make_folds
from clickseg.datasets.read import read_case
from clickseg.datasets.regions import ClassNames, resolve_class_names
from clickseg.evaluation.evaluate import EvaluatedCase, EvaluatedDataset, Evaluator, FailedCase
from clickseg.evaluation.protocols import ProtocolName, make_protocol
from clickseg.evaluation.report import SUMMARY_FILE, write_report
from clickseg.evaluation.summary import Summary
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.model_sources import find_models, is_model, log_assumptions
from clickseg.inference.runtime_settings import RuntimeSettings
from clickseg.models.find import ModelPath
from clickseg.models.importers.source_model import ImportOptions
from clickseg.models.package import ModelPackage
from clickseg.session.options import SessionOptions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """The settings of an evaluation.

    Attributes:
        data: The labelled dataset: a folder, or a datalist.
        output: The folder for the report.
        models: The locations that are searched for model packages, in order.
        model: The name of the model package, or the path of a model.
        protocol: The name of the protocol.
        runtime: The settings of the network's runtime.
        clock: The time that is written into the report.
        postprocessing: Whether the postprocessing of the model package is applied.
        steps: The number of interaction steps; None for the default of the protocol.
        seed: The seed of the simulated clicks; None for the default of the protocol.
        fold_numbers: The folds of a cross-validation whose cases are evaluated, from 0; empty for all cases.
        fold_count: The number of folds, if the dataset does not define them.
        truth_names: The names of each class in SEG and RTSTRUCT; empty for the names in the model.
        import_options: What the user states about a model of another tool.
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
    fold_numbers: tuple[int, ...] = ()
    fold_count: int = 5
    truth_names: ClassNames = ()
    import_options: ImportOptions = field(default_factory=ImportOptions)


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """The result of an evaluation, for the terminal.

    Attributes:
        lines: The main scores, and the path of the report.
        errors: The errors of the cases that failed.
    """

    lines: tuple[str, ...]
    errors: tuple[ClickSegError, ...]


def evaluate(settings: EvaluationSettings, progress: Progress) -> EvaluationResult:
    """Evaluates a model and writes the report; if all cases fail, no report is written.

    Args:
        settings: The settings.
        progress: Called after each step of each case.

    Raises:
        ClickSegError: The model or the cases do not exist, or the report cannot be written.
    """
    protocol = make_protocol(settings.protocol, settings.steps, settings.seed)
    package = _load_model(settings)
    log_assumptions(package)
    class_names = _class_names(settings.truth_names, package)
    cases = _select_cases(find_model_cases(settings.data, package.spec), settings)
    logger.info("%s: model %s, protocol %s", format_count(len(cases), "case"), package.name, protocol.name)
    evaluator = Evaluator(
        package,
        make_engine(package, settings.runtime),
        protocol,
        SessionOptions(settings.runtime.memory, KernelChoice(settings.runtime.cache), settings.postprocessing),
        read_case=lambda files: read_case(files, class_names),
    )
    with Staging(settings.output, SUMMARY_FILE) as staging:
        results = list(evaluator.evaluate_cases(cases, progress))
        lines = _publish_report(cases, results, evaluator, settings, staging)
    return EvaluationResult(lines, tuple(_to_error(result) for result in results if isinstance(result, FailedCase)))


def _publish_report(
    cases: Sequence[CaseFiles],
    results: Sequence[EvaluatedCase | FailedCase],
    evaluator: Evaluator,
    settings: EvaluationSettings,
    staging: Staging,
) -> tuple[str, ...]:
    """Publishes the report and returns the lines for the terminal; does neither if all cases failed."""
    evaluated = [result for result in results if isinstance(result, EvaluatedCase)]
    failed = [result for result in results if isinstance(result, FailedCase)]
    if not evaluated:
        return ()
    names = {case.name for case in evaluated}
    sha256 = compute_digests([case for case in cases if case.name in names]).sha256
    dataset = EvaluatedDataset(evaluated, failed, settings.fold_numbers, sha256)
    summaries = write_report(staging, evaluator, dataset, settings.clock)
    staging.publish()
    return _summary_lines(summaries, settings.output)


def _load_model(settings: EvaluationSettings) -> ModelPackage:
    """Returns the model at the path ``settings.model``, or else the package with this name."""
    path, options, cache = Path(settings.model), settings.import_options, settings.runtime.cache
    if is_model(path):
        return find_models((ModelPath(path, is_required=True, is_named=True),), None, options, cache)[0]
    return find_models(settings.models, settings.model, options, cache)[0]


def _class_names(truth_names: ClassNames, package: ModelPackage) -> ClassNames:
    classes = package.spec.classes
    if len(truth_names) > len(classes):
        limit = f"{len(classes)} class{'es' if len(classes) > 1 else ''}"
        raise UsageError(f"truth-names: expected names of at most {limit}, got {len(truth_names)}")
    return resolve_class_names(truth_names, classes)


def _select_cases(cases: Sequence[CaseFiles], settings: EvaluationSettings) -> tuple[CaseFiles, ...]:
    """Returns all cases, or if folds are selected, the cases of these folds, each with the number of its fold."""
    if not settings.fold_numbers:
        return tuple(cases)
    folds = make_folds(cases, settings.fold_count)
    selected = [find_fold(folds, number) for number in sorted({*settings.fold_numbers})]
    return tuple(replace(case, fold=fold.number) for fold in selected for case in fold.held_out)


def _to_error(failed: FailedCase) -> ClickSegError:
    return ClickSegError(f"{failed.name}: {failed.error}", hint=failed.error.hint)


def _summary_lines(summaries: Sequence[Summary], output: Path) -> tuple[str, ...]:
    def line(summary: Summary) -> str:
        first, last = summary.steps[0], summary.steps[-1]
        after = f", {last.dice.median:.3f} after step {last.step}" if last.step else ""
        return (
            f"{summary.label} in {summary.modality}, {summary.method}: "
            f"median Dice {first.dice.median:.3f} without clicks{after} ({format_count(summary.case_count, 'case')})"
        )

    return (*(line(summary) for summary in summaries), f"report    {output / 'report.html'}")
