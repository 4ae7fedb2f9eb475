"""One case played through a protocol: users click, a method answers, each answer is scored."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol as Contract

import numpy as np

from clickseg.clicks.click import Click, Point, Polarity
from clickseg.clicks.simulated.clicker import VoxelClick
from clickseg.core.arrays import Mask, Triple
from clickseg.core.errors import InputError
from clickseg.core.progress import Progress
from clickseg.datasets.case import LabelledCase
from clickseg.evaluation.protocols import Protocol, User
from clickseg.evaluation.scores import Agreement, Curve, Effort, Score, dice, false_negative_ml, false_positive_ml
from clickseg.evaluation.surface import surface_dice
from clickseg.models.spec import ModelSpec
from clickseg.session.session import Session

_ROUGH_DICE = 0.2
"""Up to which Dice coefficient surfaces are not compared, in the CVPR 2025 challenge."""

ClassClick = tuple[int, VoxelClick]
"""A click, and the number of the class that it is of."""


class Method(Contract):
    """What is evaluated."""

    def start(self) -> Effort:
        """Finds what it can without a click."""
        ...

    def take(self, clicks: Sequence[ClassClick]) -> Effort:
        """Takes the clicks of a step, at least one."""
        ...

    def found(self, number: int) -> Mask:
        """Returns where a class was found."""
        ...


@dataclass(frozen=True, slots=True)
class Trial:
    """What is played.

    Attributes:
        labels: The name of each class, by its number.
        truths: Where each class is.
        users: Who clicks for each class.
        taken: The clicks that the model takes; others are not made.
        spacing: The distance of voxels along each axis, in mm.
        protocol: How many steps there are.
    """

    labels: Mapping[int, str]
    truths: Mapping[int, Mask]
    users: Mapping[int, User]
    taken: frozenset[tuple[str, Polarity]]
    spacing: tuple[float, ...]
    protocol: Protocol

    def play(self, method: Method, name: str, progress: Progress) -> tuple[Curve, ...]:
        """Returns how well a method does, for each class.

        Args:
            method: The method, to which no click was given yet.
            name: What it is called.
            progress: Told after each step.
        """
        count = self.protocol.steps + 1
        effort = method.start()
        scores = {number: [self._first(number, method, effort)] for number in self.truths}
        progress(1, count)
        for step in range(1, count):
            clicks = self._clicks(step, method)
            effort = method.take(clicks) if clicks else Effort()
            for number, before in scores.items():
                before.append(self._next(number, before[-1], clicks, method, effort))
            progress(step + 1, count)
        counted_from = self.protocol.counted_from
        return tuple(Curve(name, self.labels[number], tuple(each), counted_from) for number, each in scores.items())

    def _clicks(self, step: int, method: Method) -> list[ClassClick]:
        return [
            (number, click)
            for number, user in self.users.items()
            for click in user(step, method.found(number))
            if (self.labels[number], click.polarity) in self.taken
        ]

    def _first(self, number: int, method: Method, effort: Effort) -> Score:
        return Score(0, 0, 0, self._agreement(number, method), effort)

    def _next(self, number: int, before: Score, clicks: list[ClassClick], method: Method, effort: Effort) -> Score:
        made = [click.polarity for of, click in clicks if of == number]
        return Score(
            before.step + 1,
            before.foreground + made.count(Polarity.FOREGROUND),
            before.background + made.count(Polarity.BACKGROUND),
            self._agreement(number, method) if clicks else before.agreement,
            effort,
        )

    def _agreement(self, number: int, method: Method) -> Agreement:
        return agreement(self.truths[number], method.found(number), self.spacing)


def trial_of(case: LabelledCase, spec: ModelSpec, protocol: Protocol) -> Trial:
    """Returns what is played in a case.

    Args:
        case: The case.
        spec: The model, whose classes the numbers of the truth are.
        protocol: The protocol.

    Raises:
        InputError: The truth is not on the grid of the first image, or holds classes that the model does not have; or
            the protocol is not for such images.
    """
    truth, image = case.truth.array, case.images[0]
    if truth.shape != image.volume.array.shape:
        raise InputError(f"truth: expected {image.volume.array.shape} voxels, got {truth.shape}")
    if truth.max() > len(spec.classes):
        raise InputError(f"truth: expected classes 0 to {len(spec.classes)}, got {truth.max()}")
    truths = {number: truth == number for number in range(1, len(spec.classes) + 1)}
    return Trial(
        labels={number: each.name for number, each in enumerate(spec.classes, 1)},
        truths=truths,
        users={number: protocol.user(each, image) for number, each in truths.items()},
        taken=spec.taken,
        spacing=tuple(float(step) for step in case.truth.spacing),
        protocol=protocol,
    )


def agreement(truth: Mask, found: Mask, spacing: tuple[float, ...]) -> Agreement:
    """Returns how far what was found is what is there.

    Args:
        truth: What is there.
        found: What was found.
        spacing: The distance of voxels along each axis, in mm.
    """
    overlap, voxel_ml = dice(truth, found), float(np.prod(spacing)) / 1000
    return Agreement(
        dice=overlap,
        nsd=surface_dice(truth, found, spacing) if overlap > _ROUGH_DICE else 0.0,
        fpv_ml=false_positive_ml(truth, found, voxel_ml),
        fnv_ml=false_negative_ml(truth, found, voxel_ml),
    )


class Model:
    """A model, as users of a session have it."""

    def __init__(self, session: Session, case: LabelledCase, spec: ModelSpec, opened: float) -> None:
        """Begins with a session that was just opened.

        Args:
            session: The session.
            case: What it is of.
            spec: The model.
            opened: When its opening began (``time.perf_counter``).
        """
        self._session, self._spec, self._opened = session, spec, opened
        self._geometry = case.truth.get_geometry()

    def start(self) -> Effort:
        """Waits until all windows were run."""
        self._session.wait()
        return Effort(time.perf_counter() - self._opened, self._session.windows)

    def take(self, clicks: Sequence[ClassClick]) -> Effort:
        """Adds the clicks to the session."""
        change = self._session.add_clicks([self._placed(number, click) for number, click in clicks])
        return Effort(change.seconds, change.windows_run)

    def found(self, number: int) -> Mask:
        """Returns where the session shows a class."""
        return self._session.labels.mask(number)

    def _placed(self, number: int, click: VoxelClick) -> Click:
        return Click(self._spec.classes[number - 1].name, click.polarity, self._position(click.voxel))

    def _position(self, voxel: Triple) -> Point:
        x, y, z = self._geometry.map_indices_to_reference(np.array([voxel]))[0]
        return float(x), float(y), float(z)
