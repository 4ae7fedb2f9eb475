"""DICOM in (files, series, volumes, SUV) and out (SEG, SR)."""
