"""A labelled case as the series that sessions take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import Dataset

from clickseg.datasets.case import LabelledCase, LabelledImage
from clickseg.dicom.part10 import Instance
from clickseg.dicom.series import Candidate
from clickseg.dicom.stack import Stack
from clickseg.dicom.uids import content_uid
from clickseg.dicom.volume import Series


def series_of(case: LabelledCase) -> tuple[Series, ...]:
    """Returns the images of a case as series in memory: modality, values and a UID, no planes, no patient.

    That is all that a session asks a series for. No SEG can be made of them, since they have no source instances.
    """
    return tuple(_series(f"{case.name}/{number}", image) for number, image in enumerate(case.images))


def _series(name: str, image: LabelledImage) -> Series:
    header = Dataset()
    header.Modality = image.modality
    header.SeriesInstanceUID = content_uid("clickseg evaluation", name)  # never leaves the process
    candidate = Candidate((Instance(Path(name), name, header, pixel_bytes=0),))
    stack = Stack((), image.volume.get_geometry(), np.empty(0))
    return Series(candidate, stack, (), image.volume, image.unit, "as the dataset says")
