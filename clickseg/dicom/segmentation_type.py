"""How a SEG encodes its segments."""

from __future__ import annotations

from enum import Enum

from clickseg.errors import UsageError
from clickseg.models.spec import ModelSpec


class SegmentationType(str, Enum):
    """Segmentation Type (0062,0001)."""

    BINARY = "BINARY"
    LABELMAP = "LABELMAP"


def check_encoding(spec: ModelSpec, segmentation_type: SegmentationType) -> None:
    """Refuses an encoding that cannot hold the result of a model.

    Raises:
        UsageError: LABELMAP is wanted of classes that overlap.
    """
    if spec.activation == "sigmoid" and segmentation_type is SegmentationType.LABELMAP:
        raise UsageError("a LABELMAP segmentation cannot hold classes that overlap", hint="write it as BINARY")
