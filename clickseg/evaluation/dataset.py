"""Evaluating a model in the cases of a dataset, one after another; one that fails does not take the others along."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from clickseg.datasets.case import CaseFiles, LabelledCase
from clickseg.engines.engine import Engine
from clickseg.errors import ClickSegError, unexpected
from clickseg.evaluation.case import evaluate_case
from clickseg.evaluation.picture import draw_picture
from clickseg.evaluation.protocols.protocol import Protocol
from clickseg.evaluation.region_growing import grow_regions
from clickseg.evaluation.scores import Curve
from clickseg.interruption import interruptible
from clickseg.label_map import LabelMap
from clickseg.models.package import ModelPackage
from clickseg.progress import Progress
from clickseg.session.session import SessionOptions

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
