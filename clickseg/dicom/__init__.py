"""Reading DICOM: files, series, volumes, SUV."""
