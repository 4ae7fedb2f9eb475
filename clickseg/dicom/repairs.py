"""The repairs of irregular series that a user can request with ``--repair``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from clickseg.core.errors import UsageError

REPAIR_NAMES = ("drop-localizers", "frame-of-reference", "gantry-tilt", "incomplete", "resample", "volume=N")
_FLAGS = ("drop_localizers", "frame_of_reference", "gantry_tilt", "incomplete", "resample")
_OPTION = re.compile("--repair ([a-z]+(?:-[a-z]+)*)")


@dataclass(frozen=True, slots=True)
class Repairs:
    """The repairs that the user requested.

    Attributes:
        drop_localizers: Exclude localizers, secondary captures and other images that are not slices from a series.
        frame_of_reference: Create a Frame of Reference UID from the Series Instance UID if a series has none.
        gantry_tilt: Shift the slices of a series with gantry tilt onto an upright grid, and repeat them on a uniform
            grid if slices are missing or unevenly spaced.
        incomplete: Continue without slices whose files have no DICOM content.
        resample: Interpolate linearly onto a uniform grid if slices are missing or unevenly spaced.
        volume: The volume to use, from 1, if a series contains several volumes (time points, b-values, echoes).
    """

    drop_localizers: bool = False
    frame_of_reference: bool = False
    gantry_tilt: bool = False
    incomplete: bool = False
    resample: bool = False
    volume: int | None = None

    @classmethod
    def parse(cls, names: Iterable[str]) -> Repairs:
        """Parses the names of repairs.

        Raises:
            UsageError: A name is unknown.
        """
        repairs = cls()
        for name in names:
            repairs = repairs._add(name.strip())
        return repairs

    @classmethod
    def parse_options(cls, values: Iterable[str]) -> Repairs:
        """Parses the values of repeated options, each with one name or several names that are separated by commas.

        Raises:
            UsageError: A name is unknown.
        """
        return cls.parse(name for value in values for name in value.split(","))

    def add_to_hint(self, hint: str) -> str:
        """Returns a hint whose options request a further repair together with the repairs of this run.

        With one of them alone, the series would be rejected again: ``--repair resample`` becomes ``--repair
        incomplete,resample``.
        """
        flags = [flag.replace("_", "-") for flag in _FLAGS if getattr(self, flag)]
        given = {**dict.fromkeys(flags, ""), **({"volume": f"={self.volume}"} if self.volume else {})}

        def complete(option: re.Match[str]) -> str:
            others = [name + value for name, value in given.items() if name != option[1]]
            return f"--repair {','.join([*others, option[1]])}"

        return _OPTION.sub(complete, hint)

    def _add(self, name: str) -> Repairs:
        key, _, value = name.partition("=")
        if key == "volume" and value.isdecimal() and int(value) > 0:
            return replace(self, volume=int(value))
        field = name.replace("-", "_")
        if field not in _FLAGS:
            raise UsageError(f"unknown repair {name!r}: expected {', '.join(REPAIR_NAMES)}")
        return replace(self, **{field: True})
