"""Explains why several images of a series are at one position: they are copies, or parts of several volumes.

Of copies, one is enough. Of several volumes, such as contrast phases or echoes, one image at each position would mix
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from clickseg.core.errors import SeriesError
from clickseg.core.text import format_count
from clickseg.dicom.attribute_names import name_with_tag
from clickseg.dicom.planes import Plane

_MAX_KEYWORDS = 3
_CHUNK_BYTES = 1 << 20
_FRAMES_HINT = "send each volume as its own image"
_DIFFERENT_IMAGES_HINT = (
    "one image for each position would mix several volumes (contrast phases, echoes, time points): send the images of "
    "each volume as a series of its own"
)
_ALIKE_IMAGES_HINT = (
    "one image for each position could mix several volumes: ask the sending modality, and send the images of each "
    "volume as a series of its own"
)
_KEYWORDS = (
    "EchoTime",
    "EffectiveEchoTime",
    "EchoNumbers",
    "InversionTime",
    "RepetitionTime",
    "FlipAngle",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    "ContrastBolusAgent",
    "ContrastBolusStartTime",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "ConvolutionKernel",
    "SliceThickness",
    "KVP",
    "ImageType",
    "FrameType",
    "StackID",
    "FrameReferenceTime",
    "AcquisitionNumber",
    "AcquisitionDate",
    "AcquisitionTime",
    "FrameAcquisitionNumber",
    "FrameAcquisitionDateTime",
    "SeriesDescription",
    "ProtocolName",
    "ContentTime",
)
"""Attributes in which images of different volumes differ; the most specific first."""

Pair = tuple[Plane, Plane]
"""Two planes at one position."""


def duplicate_position_error(pairs: Sequence[Pair], position: str) -> SeriesError:
    """Returns the error for images at one position.

    Args:
        pairs: The planes that are at one position, at least one pair.
        position: The position of the first pair, as text.
    """
    first, second = pairs[0]
    message = (
        f"{format_count(len(pairs), 'duplicate slice position')}: {first.name} and {second.name} are both at "
        f"{position} mm"
    )
    are_frames = first.instance is second.instance
    differences = list(islice(_differences(pairs), _MAX_KEYWORDS))
    if differences:
        return SeriesError(
            f"{message}; images at one position differ in {', '.join(differences)}",
            hint=_FRAMES_HINT if are_frames else _DIFFERENT_IMAGES_HINT,
        )
    if all(_have_equal_pixels(pair) for pair in pairs):
        return SeriesError(f"{message}; their pixels are equal", hint="keep only one file for each position")
    return SeriesError(
        f"{message}, and no attribute distinguishes them", hint=_FRAMES_HINT if are_frames else _ALIKE_IMAGES_HINT
    )


def _differences(pairs: Sequence[Pair]) -> Iterator[str]:
    """Yields the attributes that differ between the planes of a pair, each with two values."""
    for keyword in _KEYWORDS:
        for first, second in pairs:
            values = sorted({_to_text(first, keyword), _to_text(second, keyword)})
            if len(values) > 1:
                yield f"{name_with_tag(keyword)}: {' and '.join(values)}"
                break


def _to_text(plane: Plane, keyword: str) -> str:
    value = plane.get(keyword)
    return "no value" if value in (None, "") else f"{value!s:.60}"


def _have_equal_pixels(pair: Pair) -> bool:
    """Whether the encoded pixels of two files are equal; False for frames of one file."""
    first, second = (plane.instance for plane in pair)
    if first is second or not first.pixel_bytes or first.pixel_bytes != second.pixel_bytes:
        return False
    with first.path.open("rb") as first_file, second.path.open("rb") as second_file:
        for file, instance in ((first_file, first), (second_file, second)):
            file.seek(instance.path.stat().st_size - first.pixel_bytes)
        while chunk := first_file.read(_CHUNK_BYTES):
            if chunk != second_file.read(_CHUNK_BYTES):
                return False
    return True
