"""Coded concepts and SOP Classes that ClickSeg reads and writes, and UIDs computed from content."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping

from pydicom.sr.coding import Code
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    SegmentationStorage,
)

SEED_POINT = Code("128139", "DCM", "Seed point")
CLICK_POLARITY = Code("polarity", "99CLICKSEG", "Click polarity")
CLICK_ORDER = Code("order", "99CLICKSEG", "Click order")
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")

SINGLE_FRAME_EQUIVALENTS: Mapping[str, str] = {
    EnhancedCTImageStorage: CTImageStorage,
    EnhancedMRImageStorage: MRImageStorage,
    EnhancedPETImageStorage: PositronEmissionTomographyImageStorage,
    LegacyConvertedEnhancedCTImageStorage: CTImageStorage,
    LegacyConvertedEnhancedMRImageStorage: MRImageStorage,
    LegacyConvertedEnhancedPETImageStorage: PositronEmissionTomographyImageStorage,
}
"""The single-frame SOP Class of the same modality, for each multi-frame SOP Class."""

SINGLE_FRAME_SOP_CLASSES = frozenset(SINGLE_FRAME_EQUIVALENTS.values())
MULTI_FRAME_SOP_CLASSES = frozenset(SINGLE_FRAME_EQUIVALENTS)
IMAGE_SOP_CLASSES = SINGLE_FRAME_SOP_CLASSES | MULTI_FRAME_SOP_CLASSES
SEGMENTATION_SOP_CLASSES = frozenset(
    {SegmentationStorage, "1.2.840.10008.5.1.4.1.1.66.7"}
)  # the UID: Label Map Segmentation


def content_digest(*parts: str | bytes | memoryview) -> bytes:
    """Returns the SHA-256 of content.

    Each part is hashed together with its length, so that different lists of parts have different digests.

    Args:
        parts: The parts of the content; their order matters.
    """
    digest = hashlib.sha256()
    for part in parts:
        data = memoryview(part.encode() if isinstance(part, str) else part)
        digest.update(data.nbytes.to_bytes(8, "big"))
        digest.update(data)
    return digest.digest()


def content_uid(*parts: str | bytes) -> str:
    """Returns a ``2.25`` UID (PS3.5, B.2) computed from content: the same content always has the same UID.

    Args:
        parts: The parts of the content; their order matters.
    """
    return f"2.25.{uuid.UUID(bytes=content_digest(*parts)[:16], version=5).int}"
