"""The images that ClickSeg reads."""

from __future__ import annotations

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
)

SINGLE_FRAME = frozenset({CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage})
MULTI_FRAME = frozenset(
    {
        EnhancedCTImageStorage,
        EnhancedMRImageStorage,
        EnhancedPETImageStorage,
        LegacyConvertedEnhancedCTImageStorage,
        LegacyConvertedEnhancedMRImageStorage,
        LegacyConvertedEnhancedPETImageStorage,
    }
)
IMAGES = SINGLE_FRAME | MULTI_FRAME
