"""Images of a series that are not slices of its volume according to Image Type: projections, reformats, reports."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clickseg.core.text import format_count
from clickseg.dicom.interleaved import are_within_steps
from clickseg.dicom.planes import Plane
from clickseg.dicom.stack import are_parallel

_OTHER_WORDS = frozenset(
    {"LOCALIZER", "MINIP", "MIP", "MPR", "PROJECTION", "REFORMAT", "REFORMATTED", "REPORT", "SCREENSHOT", "VRT"}
)
"""Words in Image Type (PS3.3, C.8.2.1.1.1, C.8.3.1.1.1, and of vendors) of images that are not acquired slices."""

_LARGEST_FRACTION = 0.25
"""The largest group of appended images, as a fraction of the slices; a larger group is a part of the volume."""

_MIN_VOLUME = 3
"""At the positions of other slices, fewer images are not a volume."""


@dataclass(frozen=True, slots=True)
class OtherImages:
    """Images that are not slices of the volume of their series.

    Attributes:
        planes: The planes of these images.
        expected: Image Type of the slices, for messages.
    """

    planes: tuple[Plane, ...]
    expected: str

    def __str__(self) -> str:
        found = "; ".join(f"{plane.name}: {_format_type(plane)}" for plane in self.planes[:3])
        return f"{format_count(len(self.planes), 'image')} with another ImageType (0008,0008): {found}"


def find_other_images(planes: Sequence[Plane]) -> OtherImages | None:
    """Returns the images that are not slices according to Image Type or Frame Type; None if all images are slices.

    The type of most images is that of the slices. An image is not a slice if the words of its type define something
    else (projection, reformat, report), or if value 2 (PRIMARY, SECONDARY) or 3 differs and the image is appended to
    the stack or is at the position of a slice. Value 1 is not compared: lossy compression changes it.

    Args:
        planes: At least one plane.
    """
    kinds = _read_kinds(planes)
    if len(set(kinds)) < 2:
        return None
    (slice_kind, _), *_ = Counter(kinds).most_common(1)
    slices = [plane for plane, kind in zip(planes, kinds, strict=True) if kind.is_compatible(slice_kind)]
    groups: dict[_ImageKind, list[Plane]] = defaultdict(list)
    for plane, kind in zip(planes, kinds, strict=True):
        if not kind.is_compatible(slice_kind):
            groups[kind].append(plane)
    others = [
        plane
        for kind, members in groups.items()
        if _are_other_images(members, slices, has_other_words=bool(kind.words - slice_kind.words))
        for plane in members
    ]
    return OtherImages(tuple(others), _format_type(slices[0])) if others else None


@dataclass(frozen=True, slots=True)
class _ImageKind:
    """The values of Image Type that distinguish slices from other images.

    Attributes:
        examination: Value 2: PRIMARY or SECONDARY; empty if missing.
        characteristic: Value 3, such as AXIAL or PROJECTION IMAGE; empty if missing.
        words: The words in the values from 3 that define other images.
    """

    examination: str
    characteristic: str
    words: frozenset[str]

    def is_compatible(self, other: _ImageKind) -> bool:
        """Whether images of both kinds can be slices of one volume; a missing value is compatible with any value."""
        pairs = ((self.examination, other.examination), (self.characteristic, other.characteristic))
        return self.words == other.words and all(a == b or not a or not b for a, b in pairs)


def _read_kinds(planes: Sequence[Plane]) -> list[_ImageKind]:
    """Returns the kind of each plane; images of equal Image Type share one kind."""
    kinds: dict[tuple[str, ...], _ImageKind] = {}
    return [kinds.setdefault(values, _make_kind(values)) for values in map(_image_type, planes)]


def _make_kind(values: tuple[str, ...]) -> _ImageKind:
    examination, characteristic = ([*values, "", "", ""])[1:3]
    words = {word for value in values[2:] for word in re.split("[^A-Z0-9]+", value)}
    return _ImageKind(examination, characteristic, _OTHER_WORDS & words)


def _image_type(plane: Plane) -> tuple[str, ...]:
    value = plane.get("ImageType") or plane.get("FrameType") or ()
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return tuple(str(item).strip().upper() for item in values)


def _format_type(plane: Plane) -> str:
    return "\\".join(_image_type(plane)) or "no value"


def _are_other_images(members: Sequence[Plane], slices: Sequence[Plane], *, has_other_words: bool) -> bool:
    """Whether a group of images of one kind does not belong to the volume of the slices."""
    if len(members) >= len(slices):
        return False
    if not are_parallel([slices[0], *members]):
        return has_other_words
    normal = slices[0].normal
    stack, offsets = (np.array([plane.position_mm @ normal for plane in group]) for group in (slices, members))
    if are_within_steps(offsets, stack).any():
        return len(members) < _MIN_VOLUME
    is_appended = bool((offsets < stack.min()).all() or (offsets > stack.max()).all())
    return has_other_words or (is_appended and len(members) <= _LARGEST_FRACTION * len(slices))
