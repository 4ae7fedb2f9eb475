"""A minimal script from DICOM to SEG with pydicom, highdicom and a threshold: ``python plain_script.py IN OUT``."""

from __future__ import annotations

import sys
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom import dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid


def main(study: Path, output: Path) -> None:
    """Reads a series, and writes its voxels above 0 HU as a SEG."""
    images = sorted((dcmread(path) for path in study.iterdir()), key=lambda image: float(image.ImagePositionPatient[2]))
    values = np.stack(
        [image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept) for image in images]
    )
    algorithm = hd.AlgorithmIdentificationSequence("threshold", codes.DCM.ArtificialIntelligence, "1")
    description = hd.seg.SegmentDescription(
        1, "hook", codes.SCT.Organ, codes.SCT.Liver, "AUTOMATIC", algorithm_identification=algorithm
    )
    output.mkdir(parents=True, exist_ok=True)
    hd.seg.Segmentation(
        source_images=images,
        pixel_array=(values > 0).astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[description],
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="script",
        manufacturer_model_name="script",
        software_versions="1",
        device_serial_number="1",
    ).save_as(output / "seg.dcm")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
