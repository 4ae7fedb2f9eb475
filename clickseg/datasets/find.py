"""Finds the cases of a dataset in any of the known formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clickseg.core.errors import InputError
from clickseg.core.text import join_names
from clickseg.datasets.case import CaseFiles
from clickseg.datasets.channels import OtherModalityError
from clickseg.datasets.dicom_folder import find_dicom_cases, has_dicom
from clickseg.datasets.formats import (
    find_datalist,
    find_monai_label,
    find_nnunet,
    find_paired,
    find_patient_folders,
    is_datalist,
    is_monai_label_study,
    is_nnunet,
    is_paired,
    is_patient_folders,
)
from clickseg.models.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class DatasetFormat:
    """A format of datasets.

    Attributes:
        name: The names of its files and folders, for messages.
        matches: Whether a path is a dataset of this format.
        find: Returns the cases of a path for the modalities of a model's inputs.
    """

    name: str
    matches: Callable[[Path], bool]
    find: Callable[[Path, tuple[str, ...]], tuple[CaseFiles, ...]]


FORMATS: Sequence[DatasetFormat] = (
    DatasetFormat("a JSON datalist", is_datalist, find_datalist),
    DatasetFormat("imagesTr/X_0000.nii.gz with labelsTr/X.nii.gz (nnU-Net)", is_nnunet, find_nnunet),
    DatasetFormat("imagesTr/X.nii.gz with labelsTr/X.nii.gz", is_paired, find_paired),
    DatasetFormat("X.nii.gz with labels/final/X.nii.gz (MONAI Label)", is_monai_label_study, find_monai_label),
    DatasetFormat("X/PET.nii.gz with X/PET_gtv.nii.gz", is_patient_folders, find_patient_folders),
)
"""The formats that are recognized by the names of files and folders."""

DICOM = DatasetFormat("a folder of DICOM, with a SEG or an RTSTRUCT for each series", has_dicom, find_dicom_cases)
"""The format that is tried if no other matches, because DICOM is not recognized by file names."""


def find_cases(data: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    """Returns the cases of a dataset, sorted by name.

    Args:
        data: A folder, or a datalist file.
        modalities: The modalities of the model's inputs, such as ``("PT",)`` or ``("PT", "CT")``.

    Raises:
        InputError: The dataset does not exist, has no known format or more than one, images and labels do not match,
            or two cases have the same name.
    """
    if not data.exists():
        raise InputError(f"no such file or folder: {data}")
    cases = sorted(_detect_format(data).find(data, modalities), key=lambda case: case.name)
    _check_unique_names(cases, data)
    return tuple(cases)


def find_model_cases(data: Path, spec: ModelSpec) -> tuple[CaseFiles, ...]:
    """Returns the cases of a dataset for a model: the cases of all modalities that the model supports.

    Args:
        data: A folder, or a datalist file.
        spec: The model.

    Raises:
        InputError: No cases exist, images and labels do not match, or the modality of an image is ambiguous.
    """
    first, *others = spec.inputs
    cases: list[CaseFiles] = []
    errors: list[OtherModalityError] = []
    for modality in first.modalities:
        try:
            cases += find_cases(data, (modality, *(model_input.modality for model_input in others)))
        except OtherModalityError as error:
            errors.append(error)
    if not cases:
        raise errors[0]
    _check_unambiguous(cases, data)
    renamed = _make_names_unique(cases)
    _check_unique_names(renamed, data)
    return renamed


def _check_unique_names(cases: Sequence[CaseFiles], data: Path) -> None:
    duplicates = [name for name, count in Counter(case.name for case in cases).items() if count > 1]
    if duplicates:
        raise InputError(f"{data}: expected a unique name for each case, got several named {join_names(duplicates)}")


def _check_unambiguous(cases: Sequence[CaseFiles], data: Path) -> None:
    """Rejects images that match more than one modality: they would be scaled for the wrong modality."""
    counts = Counter(case.images for case in cases)
    if any(count > 1 for count in counts.values()):
        modalities = " or ".join(sorted({case.modalities[0] for case in cases}))
        raise InputError(
            f"{data}: expected images of a known modality, got images that could be {modalities}",
            hint="define the modality of each channel in dataset.json",
        )


def _make_names_unique(cases: Sequence[CaseFiles]) -> tuple[CaseFiles, ...]:
    """Adds the modality to names that more than one case has."""
    counts = Counter(case.name for case in cases)
    return tuple(
        replace(case, name=f"{case.name}_{case.modalities[0]}") if counts[case.name] > 1 else case for case in cases
    )


def _detect_format(data: Path) -> DatasetFormat:
    matching = [dataset_format for dataset_format in FORMATS if dataset_format.matches(data)]
    if not matching and DICOM.matches(data):
        return DICOM
    if len(matching) == 1:
        return matching[0]
    names = " and ".join(dataset_format.name for dataset_format in matching) or "none"
    raise InputError(
        f"{data}: expected exactly one known dataset format, got {names}",
        hint=f"known formats: {'; '.join(dataset_format.name for dataset_format in (*FORMATS, DICOM))}",
    )
