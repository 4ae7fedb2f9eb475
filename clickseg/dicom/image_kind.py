"""The kind of an image according to Image Type (0008,0008), Frame Type (0008,9007) and its derivation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from clickseg.dicom.conversion import READ_ERRORS
from clickseg.dicom.multi_values import split_values
from clickseg.dicom.part10 import Instance
from clickseg.dicom.planes import Plane

_OTHER_WORDS = frozenset(
    {
        "CAPTURE",
        "LOCALIZER",
        "MAX_IP",
        "MINIP",
        "MIN_IP",
        "MIP",
        "MPR",
        "PROJECTION",
        "REFORMAT",
        "REFORMATTED",
        "RENDER",
        "RENDERED",
        "RENDERING",
        "REPORT",
        "SCOUT",
        "SCREEN",
        "SCREENSHOT",
        "SURFACE_RENDER",
        "TOPOGRAM",
        "VOLREN",
        "VOLUME_RENDER",
        "VRT",
    }
)
"""Words in Image Type (PS3.3, C.8.2.1.1.1, C.8.3.1.1.1, C.8.16.2.1.3, and of vendors) of images that are not acquired
slices."""

_CALCULATIONS = frozenset(
    {
        "ADDITION",
        "DIVISION",
        "MAXIMUM",
        "MEAN",
        "MINIMUM",
        "MTT",
        "MULTIPLICATION",
        "RCBF",
        "RCBV",
        "RESAMPLED",
        "STD_DEVIATION",
        "SUBTRACTION",
        "TTP",
        "T_TEST",
        "Z_SCORE",
    }
)
"""Values of Derived Pixel Contrast, value 4 of Frame Type (PS3.3, table C.8-130)."""

_DERIVATION_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "113072": "MPR",
        "113073": "MPR",
        "113074": "VOLUME_RENDER",
        "113075": "SURFACE_RENDER",
        "113078": "MIP",
        "113079": "MINIP",
    }
)
"""Codes of DICOM in Derivation Code Sequence (0008,9215), context group 7203 of PS3.16, by the word that they mean."""

_SEVERAL_SOURCES = "SEVERAL SOURCES"


@dataclass(frozen=True, slots=True)
class ImageKind:
    """The values that distinguish slices from other images.

    Attributes:
        pixels: Value 1 of Image Type: ORIGINAL or DERIVED.
        examination: Value 2: PRIMARY or SECONDARY; empty if missing.
        characteristic: Value 3, such as AXIAL or PROJECTION IMAGE; empty if missing.
        words: The words in the values from 3, and of the derivation, that define other images.
        calculations: How the image was calculated from others, such as MAXIMUM.
    """

    pixels: str
    examination: str
    characteristic: str
    words: frozenset[str]
    calculations: frozenset[str]

    def is_compatible(self, other: ImageKind) -> bool:
        """Whether images of both kinds can be slices of one volume; a missing value is compatible with any value.

        Value 1 is not compared: lossy compression makes a slice DERIVED.
        """
        pairs = ((self.examination, other.examination), (self.characteristic, other.characteristic))
        is_same = self.words == other.words and self.calculations == other.calculations
        return is_same and all(a == b or not a or not b for a, b in pairs)


def read_kinds(images: Sequence[Instance | Plane]) -> list[ImageKind]:
    """Returns the kind of each image.

    The derivation of an image is compared only if some images are ORIGINAL: it is that of the whole series otherwise.
    """
    types = [_image_type(image) for image in images]
    is_mixed = len({values[:1] for values in types}) > 1
    kinds: dict[tuple[str, ...], ImageKind] = {}
    found = []
    for image, values in zip(images, types, strict=True):
        extended = values if len(values) > 2 else (*values, "", "", "")[:3]
        extended += _technique(image)
        if is_mixed and values[:1] == ("DERIVED",):
            extended += _derivation(image)
        found.append(kinds.setdefault(extended, _make_kind(extended)))
    return found


def format_image_type(image: Instance | Plane) -> str:
    """Returns Image Type or Frame Type as text for a message."""
    return "\\".join(_image_type(image)) or "no value"


def _make_kind(values: tuple[str, ...]) -> ImageKind:
    words = {word for value in values[2:] for word in (value, *re.split("[^A-Z0-9]+", value))}
    return ImageKind(
        values[0], values[1], values[2], _OTHER_WORDS & words, (_CALCULATIONS | {_SEVERAL_SOURCES}) & words
    )


def _image_type(image: Instance | Plane) -> tuple[str, ...]:
    value = _read(image, "ImageType") or _read(image, "FrameType") or ()
    return tuple(item.upper() for item in split_values(value))


def _technique(image: Instance | Plane) -> tuple[str, ...]:
    """Returns Volume Based Calculation Technique (0008,9207) of a frame, such as MAX_IP; empty in other images."""
    if isinstance(image, Instance) or image.frame_number is None:
        return ()
    return (str(_read(image, "VolumeBasedCalculationTechnique") or "").strip().upper(),)


def _derivation(image: Instance | Plane) -> tuple[str, ...]:
    """Returns words for the derivation of an image from other images.

    Several items of Source Image Sequence (0008,2112) are the images that were combined, or the steps of a lossy
    compression (PS3.3, C.7.6.1.1.4).
    """
    codes = [str(item.get("CodeValue") or "") for item in _read_items(image, "DerivationCodeSequence")]
    header = image.header if isinstance(image, Instance) else image.instance.header
    is_lossy = header.get("LossyImageCompression") == "01"
    is_combined = not is_lossy and len(_read_items(image, "SourceImageSequence")) > 1
    words = {_DERIVATION_WORDS[code] for code in codes if code in _DERIVATION_WORDS}
    return (*sorted(words), *([_SEVERAL_SOURCES] if is_combined else []))


def _read_items(image: Instance | Plane, keyword: str) -> list[Any]:
    try:
        return list(_read(image, keyword) or [])
    except READ_ERRORS:
        return []


def _read(image: Instance | Plane, keyword: str) -> Any:
    return image.header.get(keyword) if isinstance(image, Instance) else image.get(keyword)
