"""A folder of DICOM: series with a SEG or an RTSTRUCT that refers to them, and the series beside them.

Cases are named after their folders, and not after patients' names and numbers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from clickseg.core.errors import InputError
from clickseg.core.text import first_names
from clickseg.datasets.case import DATALIST_HINT, CaseFiles
from clickseg.datasets.channels import OtherModalityError
from clickseg.datasets.dicom_truth import refers_to, truths_in
from clickseg.dicom.files import scan
from clickseg.dicom.part10 import Instance, is_dicom
from clickseg.dicom.series import Candidate, CheckedSeries, RejectedSeries, Remedies, check_all, is_corrected
from clickseg.dicom.series import listed as listed_series


def has_dicom(data: Path) -> bool:
    """Whether there is DICOM somewhere below a folder."""
    return data.is_dir() and any(
        is_dicom(Path(parent, name)) for parent, _, names in os.walk(data) for name in sorted(names)
    )


def find_dicom(data: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    """Returns a case for each series of the first modality that a SEG or an RTSTRUCT refers to.

    The other images are the series of their modality in its frame of reference. Where no truth in a study refers to a
    series of the first modality, one that refers to another image of the case counts.

    Raises:
        OtherModalityError: There is no such series.
        InputError: A study has such series but no truth, a truth refers to nothing here or to what is no volume, two
            refer to one series, or it is not clear which series belong together.
    """
    found = scan(data)
    found.check_undamaged()
    formed, rejected = check_all(found, Remedies())
    truths = truths_in(found)
    for truth in truths:
        _check_refers(truth, formed, rejected)
    studies: dict[str, list[CheckedSeries]] = {}
    for series in formed:
        studies.setdefault(series.candidate.study_uid, []).append(series)
    labelled = [case for study in studies.values() for case in _of_study(study, truths, modalities)]
    if not labelled:
        raise OtherModalityError(f"{data}: expected {modalities[0]} series that form volumes, got none")
    names = _names_of([case.series[0].candidate for case in labelled], found.instances, modalities)
    return tuple(
        CaseFiles(name, modalities, tuple(_path(series) for series in case.series), case.truth.path)
        for name, case in zip(names, labelled, strict=True)
    )


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
    return _one_beside(fitting, modality, frame_uid, path.name)


def _check_refers(truth: Instance, formed: Sequence[CheckedSeries], rejected: Sequence[RejectedSeries]) -> None:
    """Refuses a truth of what is not here, or is no volume."""
    if any(refers_to(truth, series.candidate) for series in formed):
        return
    for each in rejected:
        if each.candidate.instances and refers_to(truth, each.candidate):
            raise each.error
    raise InputError(f"{truth.name}: refers to no CT, MR or PET series here")


def _of_study(
    study: Sequence[CheckedSeries], truths: Sequence[Instance], modalities: tuple[str, ...]
) -> list[_Labelled]:
    firsts = [series for series in study if series.candidate.modality == modalities[0]]
    own = [_Labelled(_beside(first, study, modalities), truth) for first in firsts for truth in _of([first], truths)]
    if not own:
        cases = [_beside(first, study, modalities) for first in firsts if is_corrected(first)]
        own = [_Labelled(case, truth) for case in cases for truth in _of(case[1:], truths)]
    if firsts and not own:
        raise InputError(
            f"{firsts[0].candidate.folder}: {modalities[0]} series without a SEG or an RTSTRUCT that refers to it",
            hint=DATALIST_HINT,
        )
    return own


@dataclass(frozen=True, slots=True)
class _Labelled:
    """The series of a case and its truth."""

    series: tuple[CheckedSeries, ...]
    truth: Instance


def _beside(
    first: CheckedSeries, study: Sequence[CheckedSeries], modalities: tuple[str, ...]
) -> tuple[CheckedSeries, ...]:
    """Returns a series and those that are the further images of its case."""
    frame_uid, where = first.candidate.frame_of_reference_uid, first.candidate.folder
    others = [series for series in study if series is not first and is_corrected(series)]
    return first, *(_one_beside(others, modality, frame_uid, where) for modality in modalities[1:])


def _one_beside(series: Sequence[CheckedSeries], modality: str, frame_uid: str | None, where: str) -> CheckedSeries:
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


def _of(series: Sequence[CheckedSeries], truths: Sequence[Instance]) -> list[Instance]:
    """Returns the truth that refers to some series, if there is one."""
    own = [truth for truth in truths if any(refers_to(truth, each.candidate) for each in series)]
    if len(own) > 1:
        names = first_names([truth.name for truth in own])
        raise InputError(
            f"{series[0].candidate.folder}: expected one SEG or RTSTRUCT for a series, got {names}",
            hint="take away those that do not count, or name those that do in a JSON datalist",
        )
    return own


def _names_of(firsts: Sequence[Candidate], instances: Iterable[Instance], modalities: Sequence[str]) -> list[str]:
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


def _patient(instance: Instance) -> str:
    """Returns what tells patients apart; not to be shown."""
    return instance.text("PatientID") or instance.text("StudyInstanceUID")


def _numbered(kind: str, uid: str, uids: Iterable[str]) -> list[str]:
    """Returns which of several something is, in the order of their UIDs; nothing of one alone."""
    known = sorted({*uids})
    return [f"{kind}{known.index(uid) + 1}"] if len(known) > 1 else []


def _path(series: CheckedSeries) -> Path:
    """Returns the file of a series, or else the folder that holds all of its files."""
    paths = [instance.path for instance in series.candidate.instances]
    return paths[0] if len(paths) == 1 else Path(os.path.commonpath([path.parent for path in paths]))
