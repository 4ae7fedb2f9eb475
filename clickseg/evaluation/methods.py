"""What clicks are given to: a session with a model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol as Contract

import numpy as np

from clickseg.arrays import Mask
from clickseg.boxes import Triple
from clickseg.clicks.click import Click, Point
from clickseg.datasets.case import LabelledCase
from clickseg.evaluation.scores import Effort
from clickseg.models.spec import ModelSpec
from clickseg.session.session import Session
from clickseg.simulation.clicker import VoxelClick

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
