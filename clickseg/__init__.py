"""ClickSeg: DICOM series and clicks in, sliding-window segmentation guided by the clicks, DICOM SEG out."""

__version__ = "0.1.0"
