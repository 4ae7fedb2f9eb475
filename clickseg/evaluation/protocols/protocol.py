"""What a protocol says: how many steps a user makes, and where a user clicks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol as Contract
from typing import TypeAlias

from clickseg.arrays import Mask
from clickseg.datasets.case import LabelledImage
from clickseg.simulation.clicker import VoxelClick

User: TypeAlias = Callable[[int, Mask], tuple[VoxelClick, ...]]
"""Returns the clicks of a step, counted from 1, into what was found so far; the same each time it is asked."""


class Protocol(Contract):
    """A protocol."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def steps(self) -> int:
        """How many steps a user makes after the result without clicks."""
        ...

    @property
    def seed(self) -> int:
        """What its random choices begin with."""
        ...

    @property
    def counted_from(self) -> int:
        """The first step that the area under the curve counts."""
        ...

    def user(self, truth: Mask, image: LabelledImage) -> User:
        """Returns a user for one class of a case.

        Args:
            truth: Where the class is.
            image: The first image of the case.

        Raises:
            InputError: The protocol is not for such images.
        """
        ...
