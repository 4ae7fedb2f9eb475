"""What cases of a folder of DICOM are called: by their folders and not by patients' names and numbers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from clickseg.dicom.part10 import Instance
from clickseg.dicom.series import Candidate


def names_of(firsts: Sequence[Candidate], instances: Iterable[Instance], modalities: Sequence[str]) -> list[str]:
    """Returns a name for each case: patient, study and series as far as there are several, modalities.

    Args:
        firsts: The first series of each case.
        instances: All instances of the data, which say whose folder is whose.
        modalities: Of the images of a case.
    """
    patients = _patient_names(instances)
    studies: dict[str, list[str]] = {}
    series: dict[str, list[str]] = {}
    for first in firsts:
        studies.setdefault(_patient(first.first), []).append(first.study_uid)
        series.setdefault(first.study_uid, []).append(first.series_uid)
    return [
        "_".join(
            [
                patients[_patient(first.first)],
                *_numbered("study", first.study_uid, studies[_patient(first.first)]),
                *_numbered("series", first.series_uid, series[first.study_uid]),
                *modalities,
            ]
        )
        for first in firsts
    ]


def _numbered(kind: str, uid: str, uids: Iterable[str]) -> list[str]:
    """Returns which of several something is, in the order of their UIDs; nothing of one alone."""
    known = sorted({*uids})
    return [f"{kind}{known.index(uid) + 1}"] if len(known) > 1 else []


def _patient(instance: Instance) -> str:
    """Returns what tells patients apart; not to be shown."""
    return instance.text("PatientID") or instance.text("StudyInstanceUID")


def _patient_names(instances: Iterable[Instance]) -> dict[str, str]:
    """Returns the folder that holds all that is of a patient, or a number where that is no folder of their own."""
    folders: dict[str, list[str]] = {}
    for instance in instances:
        folders.setdefault(_patient(instance), []).append(str(PurePosixPath(instance.name).parent))
    own = {patient: os.path.commonpath(paths) for patient, paths in folders.items()}
    names: dict[str, str] = {}
    for number, (patient, folder) in enumerate(own.items(), 1):
        name = re.sub(r"[^\w.-]+", "_", folder)
        is_shared = any(
            path == folder or path.startswith(f"{folder}/")
            for other, paths in folders.items()
            for path in paths
            if other != patient
        )
        is_told = bool(folder.strip(".")) and not is_shared and name not in names.values()
        names[patient] = name if is_told else f"patient{number}"
    return names
