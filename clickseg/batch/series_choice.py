"""The series that can be inputs of a model, and the keys that identify them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from clickseg.dicom.series import SeriesGeometry

InputUids = Mapping[str, str] | tuple[str, ...]
"""Series Instance UIDs by the name of an input; or one for each input in order, as a session stores them."""


@dataclass(frozen=True, slots=True)
class SeriesChoice:
    """The series that can be inputs of a model.

    Attributes:
        references: The series that can be the first input.
        regular: All series of the input that are regular volumes.
        wanted: The series that the user named with ``--series``, or all.
        input_uids: The series that the user named for an input.
        is_named: Whether the user named series with ``--series``.
        elsewhere: The number of regular volumes in other frames of reference.
    """

    references: Sequence[SeriesGeometry]
    regular: Sequence[SeriesGeometry]
    wanted: Sequence[SeriesGeometry]
    input_uids: InputUids = ()
    is_named: bool = False
    elsewhere: int = 0

    def in_frame(self, frame_of_reference_uid: str) -> SeriesChoice:
        """Returns the choice among the series of one frame of reference."""
        references, regular, wanted = (
            [each for each in series if each.files.frame_of_reference_uid == frame_of_reference_uid]
            for series in (self.references, self.regular, self.wanted)
        )
        elsewhere = len(self.regular) - len(regular)
        return SeriesChoice(references, regular, wanted, self.input_uids, self.is_named, elsewhere)


def series_key(series: SeriesGeometry) -> str:
    """Returns the key that identifies a series within an input: two volumes can have the same Series Instance UID."""
    return series.files.first_file_name


def series_keys(series: Iterable[SeriesGeometry]) -> set[str]:
    """Returns the keys of series."""
    return set(map(series_key, series))


def is_among(series: SeriesGeometry, others: Iterable[SeriesGeometry]) -> bool:
    """Whether a series is one of others."""
    return series_key(series) in series_keys(others)
