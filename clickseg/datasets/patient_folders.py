"""A folder for each patient: ``STS_001/PET.nii.gz`` with ``STS_001/PET_gtv.nii.gz``, or ``CT``, or ``MR_T1``."""

from __future__ import annotations

from pathlib import Path

from clickseg.datasets.case import CaseFiles
from clickseg.datasets.channels import OtherModalityError
from clickseg.datasets.files import listed
from clickseg.errors import InputError

_NAMES = {"PT": "PET", "CT": "CT", "MR": "MR_T1"}
_IMAGE, _TRUTH = "{}.nii.gz", "{}_gtv.nii.gz"


def is_patient_folders(data: Path) -> bool:
    """Whether a folder has a folder with an image of a known name and its truth."""
    return data.is_dir() and any(
        (folder / _IMAGE.format(name)).is_file() and (folder / _TRUTH.format(name)).is_file()
        for folder in data.iterdir()
        for name in _NAMES.values()
    )


def find_patient_folders(data: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    """Returns a case for each patient, with the truth of the first modality: ``STS_001_PET``, ``STS_001_PET_CT``.

    Raises:
        OtherModalityError: No patient has such images.
        InputError: One lacks an image or the truth.
    """
    known = [form.format(name) for name in _NAMES.values() for form in (_IMAGE, _TRUTH)]
    folders = sorted(folder for folder in data.iterdir() if any((folder / name).is_file() for name in known))
    cases = tuple(_case_in(folder, modalities) for folder in folders)
    paths = [path for case in cases for path in (*case.images, case.truth) if path is not None]
    if not any(case.images[0].is_file() for case in cases):
        raise OtherModalityError(f"{data}: no such file in any folder: {cases[0].images[0].name}")
    missing = [path.relative_to(data).as_posix() for path in paths if not path.is_file()]
    if missing:
        raise InputError(f"{data}: no such file: {listed(missing)}")
    return cases


def _case_in(folder: Path, modalities: tuple[str, ...]) -> CaseFiles:
    names = [_NAMES[modality] for modality in modalities]
    images = tuple(folder / _IMAGE.format(name) for name in names)
    return CaseFiles("_".join([folder.name, *names]), modalities, images, folder / _TRUTH.format(names[0]))
