"""What a user may ask for where a series does not form a volume as it is; nothing of it happens unasked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from clickseg.errors import UsageError

REMEDY_NAMES = ("drop-localizers", "frame-of-reference", "resample", "volume=N")


@dataclass(frozen=True, slots=True)
class Remedies:
    """The remedies that the user asked for.

    Attributes:
        drop_localizers: Leave localizers and secondary captures out of a series.
        frame_of_reference: Give a series without Frame of Reference UID one of its own, made from its Series UID.
        resample: Interpolate linearly onto a uniform grid where slices are missing or unevenly spaced.
        volume: Of a series that holds several volumes (time points, b-values, echoes), take this one, from 1.
    """

    drop_localizers: bool = False
    frame_of_reference: bool = False
    resample: bool = False
    volume: int | None = None

    @classmethod
    def parse(cls, names: Iterable[str]) -> Remedies:
        """Reads remedies by their names.

        Raises:
            UsageError: A name is unknown.
        """
        remedies = cls()
        for name in names:
            remedies = remedies._with(name.strip())
        return remedies

    def _with(self, name: str) -> Remedies:
        key, _, value = name.partition("=")
        if key == "volume" and value.isdecimal() and int(value) > 0:
            return replace(self, volume=int(value))
        field = name.replace("-", "_")
        if field not in ("drop_localizers", "frame_of_reference", "resample"):
            raise UsageError(f"unknown remedy {name!r}: expected {', '.join(REMEDY_NAMES)}")
        return replace(self, **{field: True})
