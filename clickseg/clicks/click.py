"""Clicks: label, polarity and position in LPS mm, with their frame of reference."""

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
"""A position in LPS mm."""


class Polarity(str, Enum):
    """Whether a click marks the foreground of its label, or the background."""

    FOREGROUND = "foreground"
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class Click:
    """One click.

    Attributes:
        label: The name of the clicked structure; empty if the file has no label.
        polarity: Foreground or background of the label.
        position_mm: The position in LPS mm, always with the precision of DICOM SR (32 bits; PS3.3, C.18.9).
    """

    label: str
    polarity: Polarity
    position_mm: Point

    def __post_init__(self) -> None:
        """Rounds the position to 32 bits, and converts the value of a polarity to a ``Polarity``.

        Raises:
            ClickError: The position is not three finite numbers of 32 bits, the label is not printable, or the
                polarity is unknown.
        """
        is_printable = isinstance(self.label, str) and self.label.isprintable()  # False for lone surrogates
        if not is_printable:
            raise ClickError(f"a click: expected a label of printable characters, got {self.label!a:.80}")
        try:
            with np.errstate(over="ignore"):
                x, y, z = (float(np.float32(value)) for value in self.position_mm)
        except (TypeError, ValueError) as error:
            raise self._position_error() from error
        if not all(math.isfinite(value) for value in (x, y, z)):
            raise self._position_error()
        object.__setattr__(self, "position_mm", (x, y, z))
        if not isinstance(self.polarity, Polarity):
            object.__setattr__(self, "polarity", _to_polarity(self.polarity))

    def _position_error(self) -> ClickError:
        value = self.position_mm
        shown = list(value) if isinstance(value, tuple) else value
        return ClickError(
            f"a click of {self.label!r:.80}: expected a position of three finite numbers in mm, got {shown!s:.80}"
        )


def _to_polarity(value: object) -> Polarity:
    try:
        return Polarity(value)
    except ValueError as error:
        expected = " or ".join(polarity.value for polarity in Polarity)
        raise ClickError(f"a click: expected the polarity {expected}, got {value!a:.80}") from error


ClickSequence: TypeAlias = tuple[Click, ...]
"""Clicks in the order in which the user made them."""


def has_foreground_click(clicks: Iterable[Click]) -> bool:
    """Returns whether any click is a foreground click. A model that requires clicks gives no result without one."""
    return any(click.polarity is Polarity.FOREGROUND for click in clicks)


@dataclass(frozen=True, slots=True)
class Clicks:
    """The clicks of one source.

    Attributes:
        points: The clicks in the order in which the user made them.
        frame_of_reference_uid: The frame of reference of the clicks, or None if the source does not contain it.
        series_instance_uid: The series of the clicks, or None if the source does not contain it.
        source: The name of the file, for messages and the report.
    """

    points: ClickSequence = ()
    frame_of_reference_uid: str | None = None
    series_instance_uid: str | None = None
    source: str = ""

    @property
    def digest(self) -> str:
        """The SHA-256 of labels, polarities and positions, in order; empty without clicks."""
        if not self.points:
            return ""
        content = [[click.label, click.polarity.value, *click.position_mm] for click in self.points]
        return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()
