"""One case evaluated by a protocol: the simulated users click, the method responds, and each response is scored."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol as Contract

import numpy as np

from clickseg.clicks.click import Click, Point, Polarity
from clickseg.clicks.simulated.clicker import SimulatedClick
from clickseg.core.arrays import Mask, Triple
from clickseg.core.errors import InputError
from clickseg.core.progress import Progress
from clickseg.datasets.case import LabelledCase
from clickseg.evaluation.protocols import Protocol, SimulatedUser
from clickseg.evaluation.scores import (
    Curve,
    Metrics,
    Score,
    StepCost,
    dice,
    false_negative_volume_ml,
    false_positive_volume_ml,
)
from clickseg.evaluation.surface import surface_dice
from clickseg.models.spec import ModelSpec
from clickseg.session.session import Session

_MAX_DICE_WITHOUT_NSD = 0.2
"""Up to this Dice coefficient NSD is not computed, as in the CVPR 2025 challenge."""

ClassClick = tuple[int, SimulatedClick]
"""The number of a class, and a click for it."""


class Method(Contract):
    """A segmentation method that is evaluated."""

    def start(self) -> StepCost:
        """Makes the prediction without clicks."""
        ...

    def add_clicks(self, clicks: Sequence[ClassClick]) -> StepCost:
        """Adds the clicks of a step, at least one, and updates the prediction."""
        ...

    def mask(self, number: int) -> Mask:
        """Returns the current prediction for a class."""
        ...


@dataclass(frozen=True, slots=True)
class Trial:
    """The evaluation of methods in one case.

    Attributes:
        labels: The name of each class, by its number.
        truths: The ground truth of each class, by its number.
        users: The simulated user of each class, by its number.
        accepted_clicks: The classes and polarities of clicks that the model accepts; other clicks are not made.
        spacing: The voxel spacing along each axis, in mm.
        protocol: The protocol.
    """

    labels: Mapping[int, str]
    truths: Mapping[int, Mask]
    users: Mapping[int, SimulatedUser]
    accepted_clicks: frozenset[tuple[str, Polarity]]
    spacing: tuple[float, ...]
    protocol: Protocol

    def run(self, method: Method, name: str, progress: Progress) -> tuple[Curve, ...]:
        """Runs all steps with a method, and returns its curve for each class.

        Args:
            method: The method, before its start.
            name: The name of the method.
            progress: Called after each step.
        """
        count = self.protocol.steps + 1
        cost = method.start()
        scores = {number: [self._first_score(number, method, cost)] for number in self.truths}
        progress(1, count)
        for step in range(1, count):
            clicks = self._clicks(step, method)
            cost = method.add_clicks(clicks) if clicks else StepCost()
            for number, class_scores in scores.items():
                class_scores.append(self._next_score(number, class_scores[-1], clicks, method, cost))
            progress(step + 1, count)
        auc_from_step = self.protocol.auc_from_step
        return tuple(
            Curve(name, self.labels[number], tuple(class_scores), auc_from_step)
            for number, class_scores in scores.items()
        )

    def _clicks(self, step: int, method: Method) -> list[ClassClick]:
        return [
            (number, click)
            for number, user in self.users.items()
            for click in user(step, method.mask(number))
            if (self.labels[number], click.polarity) in self.accepted_clicks
        ]

    def _first_score(self, number: int, method: Method, cost: StepCost) -> Score:
        return Score(0, 0, 0, self._metrics(number, method), cost)

    def _next_score(
        self, number: int, previous: Score, clicks: list[ClassClick], method: Method, cost: StepCost
    ) -> Score:
        polarities = [click.polarity for click_number, click in clicks if click_number == number]
        return Score(
            previous.step + 1,
            previous.foreground_clicks + polarities.count(Polarity.FOREGROUND),
            previous.background_clicks + polarities.count(Polarity.BACKGROUND),
            self._metrics(number, method) if clicks else previous.metrics,
            cost,
        )

    def _metrics(self, number: int, method: Method) -> Metrics:
        return compute_metrics(self.truths[number], method.mask(number), self.spacing)


def make_trial(case: LabelledCase, spec: ModelSpec, protocol: Protocol) -> Trial:
    """Returns the evaluation of a case.

    Args:
        case: The case.
        spec: The model, which defines the class numbers of the ground truth.
        protocol: The protocol.

    Raises:
        InputError: The ground truth is not on the grid of the first image, or has classes that the model does not
            have; or the protocol does not support the modality of the image.
    """
    truth, image = case.truth.array, case.images[0]
    if truth.shape != image.volume.array.shape:
        raise InputError(f"ground truth: expected {image.volume.array.shape} voxels, got {truth.shape}")
    if truth.max() > len(spec.classes):
        raise InputError(f"ground truth: expected class numbers 0 to {len(spec.classes)}, got {truth.max()}")
    truths = {number: truth == number for number in range(1, len(spec.classes) + 1)}
    return Trial(
        labels={number: class_spec.name for number, class_spec in enumerate(spec.classes, 1)},
        truths=truths,
        users={number: protocol.user(class_truth, image) for number, class_truth in truths.items()},
        accepted_clicks=spec.accepted_clicks,
        spacing=tuple(float(step) for step in case.truth.spacing),
        protocol=protocol,
    )


def compute_metrics(truth: Mask, prediction: Mask, spacing: tuple[float, ...]) -> Metrics:
    """Returns the metrics of a prediction for one class.

    Args:
        truth: The ground truth.
        prediction: The prediction.
        spacing: The voxel spacing along each axis, in mm.
    """
    overlap, voxel_ml = dice(truth, prediction), float(np.prod(spacing)) / 1000
    return Metrics(
        dice=overlap,
        nsd=surface_dice(truth, prediction, spacing) if overlap > _MAX_DICE_WITHOUT_NSD else 0.0,
        fpv_ml=false_positive_volume_ml(truth, prediction, voxel_ml),
        fnv_ml=false_negative_volume_ml(truth, prediction, voxel_ml),
    )


class SessionMethod:
    """The method that uses a model, through the same session that users have."""

    def __init__(self, session: Session, case: LabelledCase, spec: ModelSpec, start_s: float) -> None:
        """Wraps a session that was just opened.

        Args:
            session: The session.
            case: The case that the session was opened for.
            spec: The model.
            start_s: When the opening of the session began, in seconds of ``time.perf_counter``.
        """
        self._session, self._spec, self._start_s = session, spec, start_s
        self._geometry = case.truth.get_geometry()

    def start(self) -> StepCost:
        """Waits until the network has run on all windows."""
        self._session.wait()
        return StepCost(time.perf_counter() - self._start_s, self._session.window_count)

    def add_clicks(self, clicks: Sequence[ClassClick]) -> StepCost:
        """Adds clicks to the session."""
        change = self._session.add_clicks([self._to_click(number, click) for number, click in clicks])
        return StepCost(change.seconds, change.windows_run)

    def mask(self, number: int) -> Mask:
        """Returns the current prediction of the session for a class."""
        return self._session.label_map.mask(number)

    def _to_click(self, number: int, click: SimulatedClick) -> Click:
        return Click(self._spec.classes[number - 1].name, click.polarity, self._position_mm(click.voxel))

    def _position_mm(self, voxel: Triple) -> Point:
        x, y, z = self._geometry.map_indices_to_reference(np.array([voxel]))[0]
        return float(x), float(y), float(z)
