"""Finding the cases of a dataset, in whichever known form it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clickseg.core.errors import InputError
from clickseg.core.text import first_names
from clickseg.datasets.case import CaseFiles
from clickseg.datasets.channels import OtherModalityError
from clickseg.datasets.dicom_folder import find_dicom, has_dicom
from clickseg.datasets.formats import (
    find_datalist,
    find_monai_label,
    find_nnunet,
    find_paired,
    find_patient_folders,
    is_datalist,
    is_monai_label,
    is_nnunet,
    is_paired,
    is_patient_folders,
)
from clickseg.models.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Form:
    """A form of datasets.

    Attributes:
        name: What it looks like, for messages.
        matches: Whether data look like it.
        find: Returns its cases; given the data and the modalities of a model's inputs.
    """

    name: str
    matches: Callable[[Path], bool]
    find: Callable[[Path, tuple[str, ...]], tuple[CaseFiles, ...]]


FORMS: Sequence[Form] = (
    Form("a JSON datalist", is_datalist, find_datalist),
    Form("imagesTr/X_0000.nii.gz with labelsTr/X.nii.gz (nnU-Net)", is_nnunet, find_nnunet),
    Form("imagesTr/X.nii.gz with labelsTr/X.nii.gz", is_paired, find_paired),
    Form("X.nii.gz with labels/final/X.nii.gz (MONAI Label)", is_monai_label, find_monai_label),
    Form("X/PET.nii.gz with X/PET_gtv.nii.gz", is_patient_folders, find_patient_folders),
)
"""The forms that are told by the names of files and folders."""

DICOM = Form("a folder of DICOM, with a SEG or an RTSTRUCT for each series", has_dicom, find_dicom)
"""What is looked for where none of the others fits: file names say nothing of it."""


def find_cases(data: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    """Returns the cases of a dataset, by their names.

    Args:
        data: A folder, or the file of a datalist.
        modalities: Of the inputs of a model: ``("PT",)``, ``("PT", "CT")``.

    Raises:
        InputError: It does not exist, is of no known form or of several, images and labels do not fit together, or
            two cases would have the same name.
    """
    if not data.exists():
        raise InputError(f"no such file or folder: {data}")
    cases = sorted(_form_of(data).find(data, modalities), key=lambda case: case.name)
    _check_names(cases, data)
    return tuple(cases)


def find_cases_for(data: Path, spec: ModelSpec) -> tuple[CaseFiles, ...]:
    """Returns the cases of a dataset that a model is for: those of each modality that it may be given.

    Args:
        data: A folder, or the file of a datalist.
        spec: The model.

    Raises:
        InputError: There is none, what is there does not fit together, or images could be of one modality or another.
    """
    first, *others = spec.inputs
    found: list[CaseFiles] = []
    errors: list[OtherModalityError] = []
    for modality in first.modalities:
        try:
            found += find_cases(data, (modality, *(each.modality for each in others)))
        except OtherModalityError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    _check_clear(found, data)
    cases = _told_apart(found)
    _check_names(cases, data)
    return cases


def _check_names(cases: Sequence[CaseFiles], data: Path) -> None:
    twice = [name for name, count in Counter(case.name for case in cases).items() if count > 1]
    if twice:
        raise InputError(f"{data}: expected a name of its own for each case, got several {first_names(twice)}")


def _check_clear(cases: Sequence[CaseFiles], data: Path) -> None:
    """Refuses images that were found as more than one modality: they would be scaled as what they are not."""
    kinds = Counter(case.images for case in cases)
    if any(count > 1 for count in kinds.values()):
        said = " or ".join(sorted({case.modalities[0] for case in cases}))
        raise InputError(
            f"{data}: expected images of a known modality, got some that could be {said}",
            hint="dataset.json names the modality of each channel",
        )


def _told_apart(cases: Sequence[CaseFiles]) -> tuple[CaseFiles, ...]:
    """Adds the modality to names that several cases have."""
    counts = Counter(case.name for case in cases)
    return tuple(
        replace(case, name=f"{case.name}_{case.modalities[0]}") if counts[case.name] > 1 else case for case in cases
    )


def _form_of(data: Path) -> Form:
    fitting = [form for form in FORMS if form.matches(data)]
    if not fitting and DICOM.matches(data):
        return DICOM
    if len(fitting) == 1:
        return fitting[0]
    found = " and ".join(form.name for form in fitting) or "nothing of the kind"
    raise InputError(
        f"{data}: expected labelled cases of one known form, got {found}",
        hint=f"known are: {'; '.join(form.name for form in (*FORMS, DICOM))}",
    )
