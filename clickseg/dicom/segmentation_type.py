"""How a SEG encodes its segments."""

from __future__ import annotations

from enum import Enum


class SegmentationType(str, Enum):
    """Segmentation Type (0062,0001)."""

    BINARY = "BINARY"
    LABELMAP = "LABELMAP"
