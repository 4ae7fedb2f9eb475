"""Which series of a folder are the images of a case: the one that the truth refers to, and those beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clickseg.datasets.dicom_truth import refers_to
from clickseg.dicom.files import scan
from clickseg.dicom.part10 import Instance
from clickseg.dicom.remedies import Remedies
from clickseg.dicom.series import CheckedSeries, check_all, is_corrected
from clickseg.dicom.series import listed as listed_series
from clickseg.errors import InputError


def open_series(path: Path, modality: str, truth: Instance | None, frame_uid: str | None) -> CheckedSeries:
    """Returns the one series of a modality in a folder that is an image of a case.

    Args:
        path: The folder, or a file of several frames.
        modality: Its modality.
        truth: What may refer to it; among several series it is the one that is referred to.
        frame_uid: The frame of reference of the first image, where that is known.

    Raises:
        InputError: There is none, or there are several.
    """
    found = scan(path)
    found.check_undamaged()
    formed, rejected = check_all(found, Remedies())
    ofs = [series for series in formed if series.candidate.modality == modality]
    named = [series for series in ofs if truth is not None and refers_to(truth, series.candidate)]
    fitting = named or [series for series in ofs if is_corrected(series)]
    if not formed and len(rejected) == 1:
        raise rejected[0].error
    return one_beside(fitting, modality, frame_uid, path.name)


def one_beside(series: Sequence[CheckedSeries], modality: str, frame_uid: str | None, where: str) -> CheckedSeries:
    """Returns the one series of a modality in a frame of reference.

    Args:
        series: Those to choose from.
        modality: Its modality; PET is corrected for attenuation.
        frame_uid: The frame of reference; None for any.
        where: What to call them in messages.

    Raises:
        InputError: There is none, or there are several.
    """
    fitting = [
        each
        for each in series
        if each.candidate.modality == modality and frame_uid in (None, each.candidate.frame_of_reference_uid)
    ]
    if len(fitting) != 1:
        beside = f" in frame of reference {frame_uid}" if frame_uid else ""
        found = listed_series([each.candidate for each in fitting]) or "none"
        raise InputError(f"{where}: expected one {modality} series{beside}, got {len(fitting)}: {found}")
    return fitting[0]
