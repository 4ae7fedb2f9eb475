"""ClickSeg: DICOM series and clicks in, sliding-window segmentation guided by the clicks, DICOM SEG out."""

from clickseg.core.version import __version__

__all__ = ["__version__"]
