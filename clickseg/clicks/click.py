"""Clicks as all of ClickSeg knows them: label, polarity, LPS mm, and the frame of reference they are in."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import numpy as np

from clickseg.core.errors import ClickError

Point: TypeAlias = tuple[float, float, float]
"""LPS mm."""


class Polarity(str, Enum):
    """Whether a click says that a voxel belongs to its label, or that it does not."""

    FOREGROUND = "foreground"
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class Click:
    """One click.

    Attributes:
        label: The name of what was clicked; empty where the file gives none.
        polarity: Foreground or background of that label.
        position_mm: LPS mm, as exact as DICOM SR stores it (PS3.3, C.18.9: 32 bits), wherever it came from.
    """

    label: str
    polarity: Polarity
    position_mm: Point

    def __post_init__(self) -> None:
        """Rounds the position; a polarity may be given by its value.

        Raises:
            ClickError: The position is beyond 32 bits or not three numbers, the label cannot be printed, or there is no
                such polarity.
        """
        if not isinstance(self.label, str) or (self.label and not self.label.isprintable()):  # nor lone surrogates
            raise ClickError(f"a click: expected a label that can be printed, got {self.label!a:.80}")
        try:
            with np.errstate(over="ignore"):
                x, y, z = (float(np.float32(value)) for value in self.position_mm)
        except (TypeError, ValueError) as error:
            raise self._misplaced() from error
        if not all(math.isfinite(value) for value in (x, y, z)):
            raise self._misplaced()
        object.__setattr__(self, "position_mm", (x, y, z))
        if not isinstance(self.polarity, Polarity):
            object.__setattr__(self, "polarity", _polarity(self.polarity))

    def _misplaced(self) -> ClickError:
        given = self.position_mm
        shown = list(given) if isinstance(given, tuple) else given
        return ClickError(f"a click of {self.label!r:.80}: expected a position in mm, got {shown!s:.80}")


def _polarity(value: object) -> Polarity:
    try:
        return Polarity(value)
    except ValueError as error:
        expected = " or ".join(each.value for each in Polarity)
        raise ClickError(f"a click: expected the polarity {expected}, got {value!a:.80}") from error


Points: TypeAlias = tuple[Click, ...]
"""Clicks in the order in which they were made."""


def say_what_is_meant(clicks: Iterable[Click]) -> bool:
    """Whether there is a foreground click among some: without one a model that needs clicks finds nothing."""
    return any(click.polarity is Polarity.FOREGROUND for click in clicks)


@dataclass(frozen=True, slots=True)
class Clicks:
    """The clicks of one source.

    Attributes:
        points: The clicks in the order in which they were made.
        frame_of_reference_uid: Their frame of reference; None where the source does not name it.
        series_instance_uid: The series they were made on; None where the source does not name it.
        source: The file they came from, for messages and the report.
    """

    points: Points = ()
    frame_of_reference_uid: str | None = None
    series_instance_uid: str | None = None
    source: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 over labels, polarities and positions, in order; empty where there is no click."""
        if not self.points:
            return ""
        content = [[click.label, click.polarity.value, *click.position_mm] for click in self.points]
        return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()
