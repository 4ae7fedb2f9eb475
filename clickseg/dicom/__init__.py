"""Reads DICOM files, series, volumes and SUV."""
