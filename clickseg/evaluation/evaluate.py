"""Evaluation of a model in the cases of a dataset, one after another; a failed case does not stop the others."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset

from clickseg.core.errors import ClickSegError, unexpected_error
from clickseg.core.interruption import replace_error_by_interruption
from clickseg.core.label_map import LabelMap
from clickseg.core.progress import Progress, no_progress
from clickseg.datasets.case import CaseFiles, LabelledCase, LabelledImage
from clickseg.dicom.codes import content_uid
from clickseg.dicom.part10 import Instance
from clickseg.dicom.series_files import SeriesFiles
from clickseg.dicom.stack import Stack
from clickseg.dicom.volume import SeriesVolume
from clickseg.evaluation.picture import draw_picture
from clickseg.evaluation.protocols import Protocol
from clickseg.evaluation.region_growing import evaluate_region_growing
from clickseg.evaluation.scores import MODEL, CaseScores, Curve
from clickseg.evaluation.trial import SessionMethod, make_trial
from clickseg.inference.engines.engine import Engine
from clickseg.models.package import ModelPackage
from clickseg.session.options import SessionOptions
from clickseg.session.session import Session

logger = logging.getLogger(__name__)

CaseReader = Callable[[CaseFiles], LabelledCase]
"""Reads a case into memory."""


@dataclass(frozen=True, slots=True)
class EvaluatedCase:
    """The results of a case.

    Attributes:
        name: The name of the case.
        modality: ``CT``, ``MR`` or ``PT``; joined by ``+`` if the model has several inputs.
        fold: The cross-validation fold in which the case is held out; None if unknown.
        curves: The scores of the model, with and without clicks, and of the baseline.
        picture: A PNG with the outlines of ground truth and final prediction.
    """

    name: str
    modality: str
    fold: int | None
    curves: tuple[Curve, ...]
    picture: bytes


@dataclass(frozen=True, slots=True)
class FailedCase:
    """A case that could not be evaluated.

    Attributes:
        name: The name of the case.
        fold: The cross-validation fold in which the case is held out; None if unknown.
        error: The reason.
    """

    name: str
    fold: int | None
    error: ClickSegError


@dataclass(frozen=True, slots=True)
class EvaluatedDataset:
    """The results of all cases of a dataset.

    Attributes:
        cases: The evaluated cases; at least one.
        failed: The cases that could not be evaluated.
        folds: The selected folds; empty if all cases were evaluated.
        sha256: The digest of the files of ``cases``.
    """

    cases: Sequence[EvaluatedCase]
    failed: Sequence[FailedCase]
    folds: Sequence[int]
    sha256: str


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Evaluates a model in each case of a dataset.

    Attributes:
        package: The model package.
        engine: The loaded network of the model.
        protocol: The protocol of the simulated clicks.
        options: The options of the sessions.
        read_case: Reads a case into memory.
    """

    package: ModelPackage
    engine: Engine
    protocol: Protocol
    options: SessionOptions
    read_case: CaseReader

    def evaluate_cases(self, cases: Sequence[CaseFiles], progress: Progress) -> Iterator[EvaluatedCase | FailedCase]:
        """Yields the result of each case, in the order of the cases.

        Args:
            cases: The cases.
            progress: Called after each step of each case.
        """
        counter = _StepCounter(len(cases), self.protocol.steps + 1, progress)
        for case_files in cases:
            yield self._try_case(case_files, counter)
            counter.end_case()

    def _try_case(self, case_files: CaseFiles, counter: _StepCounter) -> EvaluatedCase | FailedCase:
        error: ClickSegError
        try:
            with replace_error_by_interruption():
                return self._evaluate_case(case_files, counter)
        except ClickSegError as raised:
            error = raised
        except Exception as raised:  # noqa: BLE001 - any error of one case must not stop the others
            error = unexpected_error(raised)
        logger.debug("%s failed", case_files.name, exc_info=error)
        return FailedCase(case_files.name, case_files.fold, error)

    def _evaluate_case(self, case_files: CaseFiles, counter: _StepCounter) -> EvaluatedCase:
        case = self.read_case(case_files)
        scores = evaluate_case(case, self.package, self.engine, self.protocol, self.options, counter.count_step)
        picture = _draw_case(case, scores.labels)
        guidance = self.package.spec.guidance
        runs_without_clicks = guidance is None or not guidance.required
        without_clicks = tuple(curve.without_clicks() for curve in scores.curves if runs_without_clicks)
        baseline = evaluate_region_growing(case, self.package.spec, self.protocol)
        curves = (*scores.curves, *without_clicks, *baseline)
        return EvaluatedCase(case_files.name, "+".join(case_files.modalities), case_files.fold, curves, picture)


class _StepCounter:
    """Counts the steps of all cases together; the remaining steps of a failed case are counted as done."""

    def __init__(self, cases: int, steps: int, progress: Progress) -> None:
        self._total, self._steps, self._progress = cases * steps, steps, progress
        self._done = self._done_after_case = 0

    def count_step(self, _done: int, _count: int) -> None:
        self._done += 1
        self._progress(self._done, self._total)

    def end_case(self) -> None:
        self._done_after_case += self._steps
        while self._done < self._done_after_case:
            self.count_step(0, 0)


def _draw_case(case: LabelledCase, labels: LabelMap) -> bytes:
    numbers = range(1, labels.class_count + 1)
    image, truth = case.images[0], case.truth.array
    return draw_picture(
        image.volume, image.unit, [truth == number for number in numbers], [labels.mask(number) for number in numbers]
    )


def evaluate_case(
    case: LabelledCase,
    package: ModelPackage,
    engine: Engine,
    protocol: Protocol,
    options: SessionOptions | None = None,
    progress: Progress = no_progress,
) -> CaseScores:
    """Returns the scores of a model in a case, through the same session that users have.

    Args:
        case: The case.
        package: The model package.
        engine: The loaded network of the model.
        protocol: The protocol of the simulated clicks.
        options: The options of the session.
        progress: Called after the prediction without clicks and after each step.

    Raises:
        InputError: The ground truth does not fit the model or the image, or the protocol does not support the
            modality of the image.
        ModelError: The model does not support the images.
        EngineError: The network fails.
    """
    options = options or SessionOptions()
    trial = make_trial(case, package.spec, protocol)
    start_s = time.perf_counter()
    with Session(in_memory_series(case), package, engine=engine, options=options) as session:
        curves = trial.run(SessionMethod(session, case, package.spec, start_s), MODEL, progress)
        return CaseScores(case.name, curves, session.label_map)


def in_memory_series(case: LabelledCase) -> tuple[SeriesVolume, ...]:
    """Returns the images of a case as series in memory, with modality, values and a UID, without planes and patient.

    A session needs nothing else of a series. A SEG cannot be written for them, because they have no source instances.
    """
    return tuple(_make_series(f"{case.name}/{number}", image) for number, image in enumerate(case.images))


def _make_series(name: str, image: LabelledImage) -> SeriesVolume:
    header = Dataset()
    header.Modality = image.modality
    header.SeriesInstanceUID = content_uid("clickseg evaluation", name)  # not written to any file
    series_files = SeriesFiles((Instance(Path(name), name, header, pixel_bytes=0),))
    stack = Stack((), image.volume.get_geometry(), np.empty(0))
    return SeriesVolume(series_files, stack, (), image.volume, image.unit, "as defined by the dataset")
