"""Datasets of DICOM: series with a SEG or an RTSTRUCT that refers to them, and the further series of their studies.

Cases are named after their folders, never after names and IDs of patients.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from clickseg.core.errors import InputError
from clickseg.core.text import join_names
from clickseg.datasets.case import DATALIST_HINT, CaseFiles
from clickseg.datasets.channels import OtherModalityError
from clickseg.datasets.dicom_truth import find_truths, refers_to
from clickseg.dicom.files import scan
from clickseg.dicom.part10 import Instance, is_dicom
from clickseg.dicom.repairs import Repairs
from clickseg.dicom.series import RejectedSeries, SeriesGeometry, check_all_series, has_required_corrections
from clickseg.dicom.series_files import SeriesFiles, format_series_list


def has_dicom(data: Path) -> bool:
    """Whether a folder or one of its subfolders contains a DICOM file."""
    return data.is_dir() and any(
        is_dicom(Path(parent, name)) for parent, _, names in os.walk(data) for name in sorted(names)
    )


def find_dicom_cases(data: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    """Returns a case for each series of the first modality that a SEG or an RTSTRUCT refers to.

    The further images are the series of their modality in the same frame of reference. If no SEG or RTSTRUCT of a study
    refers to a series of the first modality, one that refers to another image of the case is used.

    Raises:
        OtherModalityError: No series of the first modality exists.
        InputError: A study has series of the first modality but no ground truth, a SEG or an RTSTRUCT does not refer to
            a valid series of the dataset, two of them refer to the same series, or the further images of a case are
            ambiguous.
    """
    scan_result = scan(data)
    scan_result.check_undamaged()
    accepted, rejected = check_all_series(scan_result, Repairs())
    truths = find_truths(scan_result)
    for truth in truths:
        _check_reference(truth, accepted, rejected)
    studies: dict[str, list[SeriesGeometry]] = {}
    for series in accepted:
        studies.setdefault(series.files.study_uid, []).append(series)
    labelled = [case for study in studies.values() for case in _find_cases_of_study(study, truths, modalities)]
    if not labelled:
        raise OtherModalityError(f"{data}: expected {modalities[0]} series that are regular volumes, got none")
    names = _make_names([case.series[0].files for case in labelled], scan_result.instances, modalities)
    return tuple(
        CaseFiles(name, modalities, tuple(_series_path(series) for series in case.series), case.truth.path)
        for name, case in zip(names, labelled, strict=True)
    )


def find_series(path: Path, modality: str, truth: Instance | None, frame_uid: str | None) -> SeriesGeometry:
    """Returns the only series of a modality in a folder that is an image of a case.

    Args:
        path: The folder, or a multi-frame file.
        modality: The modality.
        truth: The SEG or RTSTRUCT of the case, if any. A series of the modality to which it refers is preferred.
        frame_uid: The Frame of Reference UID of the first image; None accepts any.

    Raises:
        InputError: No series or more than one matches.
    """
    scan_result = scan(path)
    scan_result.check_undamaged()
    accepted, rejected = check_all_series(scan_result, Repairs())
    of_modality = [series for series in accepted if series.files.modality == modality]
    referenced = [series for series in of_modality if truth is not None and refers_to(truth, series.files)]
    matching = referenced or [series for series in of_modality if has_required_corrections(series)]
    if not accepted and len(rejected) == 1:
        raise rejected[0].error
    return _select_series(matching, modality, frame_uid, path.name)


def _check_reference(truth: Instance, accepted: Sequence[SeriesGeometry], rejected: Sequence[RejectedSeries]) -> None:
    """Rejects a SEG or an RTSTRUCT that refers to a rejected series, or to none of the dataset."""
    if any(refers_to(truth, series.files) for series in accepted):
        return
    for series in rejected:
        if series.files.instances and refers_to(truth, series.files):
            raise series.error
    raise InputError(f"{truth.name}: does not refer to a CT, MR or PET series of the dataset")


def _find_cases_of_study(
    study: Sequence[SeriesGeometry], truths: Sequence[Instance], modalities: tuple[str, ...]
) -> list[_LabelledSeries]:
    firsts = [series for series in study if series.files.modality == modalities[0]]
    labelled = [
        _LabelledSeries(_add_further_images(first, study, modalities), truth)
        for first in firsts
        for truth in _find_truth([first], truths)
    ]
    if not labelled:
        cases = [_add_further_images(first, study, modalities) for first in firsts if has_required_corrections(first)]
        labelled = [_LabelledSeries(case, truth) for case in cases for truth in _find_truth(case[1:], truths)]
    if firsts and not labelled:
        raise InputError(
            f"{firsts[0].files.folder}: {modalities[0]} series without a SEG or an RTSTRUCT that refers to it",
            hint=DATALIST_HINT,
        )
    return labelled


@dataclass(frozen=True, slots=True)
class _LabelledSeries:
    """The series of a case, and the SEG or RTSTRUCT."""

    series: tuple[SeriesGeometry, ...]
    truth: Instance


def _add_further_images(
    first: SeriesGeometry, study: Sequence[SeriesGeometry], modalities: tuple[str, ...]
) -> tuple[SeriesGeometry, ...]:
    """Returns a series and the series of the further images of its case."""
    frame_uid, where = first.files.frame_of_reference_uid, first.files.folder
    others = [series for series in study if series is not first and has_required_corrections(series)]
    return first, *(_select_series(others, modality, frame_uid, where) for modality in modalities[1:])


def _select_series(
    available: Sequence[SeriesGeometry], modality: str, frame_uid: str | None, where: str
) -> SeriesGeometry:
    """Returns the only series of a modality in a frame of reference.

    Args:
        available: The series to select from; PET must be corrected for attenuation.
        modality: The modality.
        frame_uid: The Frame of Reference UID; None accepts any.
        where: The name of the folder, for messages.

    Raises:
        InputError: No series or more than one matches.
    """
    matching = [
        series
        for series in available
        if series.files.modality == modality and frame_uid in (None, series.files.frame_of_reference_uid)
    ]
    if len(matching) != 1:
        frame = f" in frame of reference {frame_uid}" if frame_uid else ""
        names = format_series_list([series.files for series in matching]) or "none"
        raise InputError(f"{where}: expected one {modality} series{frame}, got {len(matching)}: {names}")
    return matching[0]


def _find_truth(case_series: Sequence[SeriesGeometry], truths: Sequence[Instance]) -> list[Instance]:
    """Returns the SEG or RTSTRUCT that refers to one of the series, as a list of one, or an empty list.

    Raises:
        InputError: More than one refers to the series.
    """
    referring = [truth for truth in truths if any(refers_to(truth, series.files) for series in case_series)]
    if len(referring) > 1:
        names = join_names([truth.name for truth in referring])
        raise InputError(
            f"{case_series[0].files.folder}: expected one SEG or RTSTRUCT for a series, got {names}",
            hint="keep one of them, or select one in a JSON datalist",
        )
    return referring


def _make_names(firsts: Sequence[SeriesFiles], instances: Iterable[Instance], modalities: Sequence[str]) -> list[str]:
    """Returns a name for each case: patient, study and series (if there are several), modalities.

    Args:
        firsts: The files of the first series of each case.
        instances: All instances of the dataset, which determine the folder of each patient.
        modalities: The modalities of the images of a case.
    """
    patients = _name_patients(instances)
    studies: dict[str, list[str]] = {}
    series: dict[str, list[str]] = {}
    for first in firsts:
        studies.setdefault(_patient_key(first.first_instance), []).append(first.study_uid)
        series.setdefault(first.study_uid, []).append(first.series_uid)
    return [
        "_".join(
            [
                patients[_patient_key(first.first_instance)],
                *_number_suffix("study", first.study_uid, studies[_patient_key(first.first_instance)]),
                *_number_suffix("series", first.series_uid, series[first.study_uid]),
                *modalities,
            ]
        )
        for first in firsts
    ]


def _name_patients(instances: Iterable[Instance]) -> dict[str, str]:
    """Returns the folder of each patient as a name, or a number if the patient does not have a separate folder."""
    folders: dict[str, list[str]] = {}
    for instance in instances:
        folders.setdefault(_patient_key(instance), []).append(str(PurePosixPath(instance.name).parent))
    common = {patient: os.path.commonpath(paths) for patient, paths in folders.items()}
    names: dict[str, str] = {}
    for number, (patient, folder) in enumerate(common.items(), 1):
        name = re.sub(r"[^\w.-]+", "_", folder)
        is_shared = any(
            path == folder or path.startswith(f"{folder}/")
            for other_patient, paths in folders.items()
            for path in paths
            if other_patient != patient
        )
        is_usable = bool(folder.strip(".")) and not is_shared and name not in names.values()
        names[patient] = name if is_usable else f"patient{number}"
    return names


def _patient_key(instance: Instance) -> str:
    """Returns the identifier of a patient, which must not be shown."""
    return instance.text("PatientID") or instance.text("StudyInstanceUID")


def _number_suffix(kind: str, uid: str, uids: Iterable[str]) -> list[str]:
    """Returns the kind and the number of a UID in sorted order, as a list of one; an empty list for a single UID."""
    ordered = sorted({*uids})
    return [f"{kind}{ordered.index(uid) + 1}"] if len(ordered) > 1 else []


def _series_path(series: SeriesGeometry) -> Path:
    """Returns the file of a series, or the folder that contains all its files if there are several."""
    paths = [instance.path for instance in series.files.instances]
    return paths[0] if len(paths) == 1 else Path(os.path.commonpath([path.parent for path in paths]))
