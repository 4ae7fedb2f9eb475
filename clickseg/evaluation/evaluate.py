"""Evaluating a model in the cases of a dataset, one after another; one that fails does not take the others along."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset

from clickseg.core.errors import ClickSegError, unexpected
from clickseg.core.interruption import interruptible
from clickseg.core.label_map import LabelMap
from clickseg.core.progress import Progress, no_progress
from clickseg.datasets.case import CaseFiles, LabelledCase, LabelledImage
from clickseg.dicom.codes import content_uid
from clickseg.dicom.part10 import Instance
from clickseg.dicom.series import Candidate
from clickseg.dicom.stack import Stack
from clickseg.dicom.volume import Series
from clickseg.evaluation.picture import draw_picture
from clickseg.evaluation.protocols import Protocol
from clickseg.evaluation.region_growing import grow_regions
from clickseg.evaluation.scores import MODEL, CaseScores, Curve
from clickseg.evaluation.trial import Model, trial_of
from clickseg.inference.engines.engine import Engine
from clickseg.models.package import ModelPackage
from clickseg.session.options import SessionOptions
from clickseg.session.session import Session

logger = logging.getLogger(__name__)

Reader = Callable[[CaseFiles], LabelledCase]
"""Reads a case into memory."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A case that was evaluated.

    Attributes:
        name: What it is called.
        modality: ``CT``, ``MR`` or ``PT``, joined by a plus where the model takes several images at once.
        fold: The part of a cross-validation that it is held out in, where the dataset says so.
        curves: How well the model did, with and without clicks, and the baseline.
        picture: A PNG of what is there and what was found in the end.
    """

    name: str
    modality: str
    fold: int | None
    curves: tuple[Curve, ...]
    picture: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """A case that could not be evaluated.

    Attributes:
        name: What it is called.
        fold: As for those that could.
        error: Why not.
    """

    name: str
    fold: int | None
    error: ClickSegError


@dataclass(frozen=True, slots=True)
class EvaluatedDataset:
    """The cases of a dataset after they were evaluated.

    Attributes:
        cases: Those that could be; at least one.
        failed: Those that could not.
        folds: The folds that were asked for; none for all cases.
        sha256: The digest of the files of ``cases``.
    """

    cases: Sequence[Evaluated]
    failed: Sequence[Failed]
    folds: Sequence[int]
    sha256: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is done with each case.

    Attributes:
        package: The model.
        engine: Its network, loaded.
        protocol: How many clicks are made, and where.
        options: How sessions with the model are run.
        read: Reads a case.
    """

    package: ModelPackage
    engine: Engine
    protocol: Protocol
    options: SessionOptions
    read: Reader

    def of(self, cases: Sequence[CaseFiles], progress: Progress) -> Iterator[Evaluated | Failed]:
        """Yields what came of each case, in their order.

        Args:
            cases: The cases.
            progress: Told after each step of each case.
        """
        steps = _Steps(len(cases), self.protocol.steps + 1, progress)
        for files in cases:
            yield self._tried(files, steps)
            steps.end_case()

    def _tried(self, files: CaseFiles, steps: _Steps) -> Evaluated | Failed:
        error: ClickSegError
        try:
            with interruptible():
                return self._evaluated(files, steps)
        except ClickSegError as found:
            error = found
        except Exception as found:  # noqa: BLE001 - whatever befalls one case, the others go on
            error = unexpected(found)
        logger.debug("%s failed", files.name, exc_info=error)
        return Failed(files.name, files.fold, error)

    def _evaluated(self, files: CaseFiles, steps: _Steps) -> Evaluated:
        case = self.read(files)
        scores = evaluate_case(case, self.package, self.engine, self.protocol, self.options, steps.step)
        picture = _picture(case, scores.labels)
        guidance = self.package.spec.guidance
        is_automatic = guidance is None or not guidance.required
        still = tuple(curve.without_clicks() for curve in scores.curves if is_automatic)
        baseline = grow_regions(case, self.package.spec, self.protocol)
        curves = (*scores.curves, *still, *baseline)
        return Evaluated(files.name, "+".join(files.modalities), files.fold, curves, picture)


class _Steps:
    """Counts the steps of all cases together; those of a case that failed count as done."""

    def __init__(self, cases: int, steps: int, progress: Progress) -> None:
        self._all, self._steps, self._progress = cases * steps, steps, progress
        self._done = self._until = 0

    def step(self, _done: int, _count: int) -> None:
        self._done += 1
        self._progress(self._done, self._all)

    def end_case(self) -> None:
        self._until += self._steps
        while self._done < self._until:
            self.step(0, 0)


def _picture(case: LabelledCase, labels: LabelMap) -> bytes:
    numbers = range(1, labels.count + 1)
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
    """Returns how well a model does in a case, through the session that users have.

    Args:
        case: The case.
        package: The model.
        engine: Its network, loaded.
        protocol: How many clicks are made, and where.
        options: How the session is run.
        progress: Told after each step, of the result without clicks too.

    Raises:
        InputError: The truth does not fit the model or the image, or the protocol is not for such images.
        ModelError: The images are not what the model takes.
        EngineError: The network fails.
    """
    options = options or SessionOptions()
    trial = trial_of(case, package.spec, protocol)
    opened = time.perf_counter()
    with Session(series_of(case), package, engine=engine, options=options) as session:
        curves = trial.play(Model(session, case, package.spec, opened), MODEL, progress)
        return CaseScores(case.name, curves, session.labels)


def series_of(case: LabelledCase) -> tuple[Series, ...]:
    """Returns the images of a case as series in memory: modality, values and a UID, no planes, no patient.

    That is all that a session asks a series for. No SEG can be made of them, since they have no source instances.
    """
    return tuple(_series(f"{case.name}/{number}", image) for number, image in enumerate(case.images))


def _series(name: str, image: LabelledImage) -> Series:
    header = Dataset()
    header.Modality = image.modality
    header.SeriesInstanceUID = content_uid("clickseg evaluation", name)  # never leaves the process
    candidate = Candidate((Instance(Path(name), name, header, pixel_bytes=0),))
    stack = Stack((), image.volume.get_geometry(), np.empty(0))
    return Series(candidate, stack, (), image.volume, image.unit, "as the dataset says")
