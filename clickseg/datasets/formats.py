"""Forms of datasets of image files: how each is told from the others, and the cases in it.

- nnU-Net's raw datasets: ``imagesTr/X_0000.nii.gz`` (a number for each channel) and ``labelsTr/X.nii.gz``.
- Images and labels of the same names: ``imagesTr`` and ``labelsTr``, or the studies of MONAI Label.
- A folder for each patient: ``STS_001/PET.nii.gz`` with ``STS_001/PET_gtv.nii.gz``, or ``CT``, or ``MR_T1``.
- MONAI's JSON datalists: ``{"training": [{"image": path or paths, "label": path, "fold": 0}]}``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from clickseg.core.errors import InputError
from clickseg.core.text import counted, first_names
from clickseg.core.validation import parse, read_json
from clickseg.datasets.case import DATALIST_HINT, CaseFiles
from clickseg.datasets.channels import Description, OtherModalityError, channel_names, choose_channels
from clickseg.datasets.image_file import ENDINGS, images_in, stem_of

_NUMBERED = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
"""A file of nnU-Net's."""

_FINAL_LABELS = Path("labels", "final")
"""Where MONAI Label keeps labels that are finished."""

_IMAGE_NAMES = {"PT": "PET", "CT": "CT", "MR": "MR_T1"}
_PATIENT_IMAGE, _PATIENT_TRUTH = "{}.nii.gz", "{}_gtv.nii.gz"
"""The files in the folder of a patient."""

_Name = Annotated[str, Field(min_length=1)]


def is_nnunet(data: Path) -> bool:
    """Whether a folder has images that are all numbered, and no label of an image's name."""
    images, labels = data / "imagesTr", data / "labelsTr"
    if not (images.is_dir() and labels.is_dir()):
        return False
    names = images_in(images)
    return bool(names) and all(map(_NUMBERED.fullmatch, names)) and not names.keys() & images_in(labels).keys()


def find_nnunet(data: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    """Returns the cases of a raw dataset; ``dataset.json`` says which channel is of which modality.

    Raises:
        InputError: Images, labels and channels do not fit together, or the channels are not those of the model.
    """
    images, labels = _by_case(images_in(data / "imagesTr")), images_in(data / "labelsTr")
    _check_pairs(images, labels, data)
    count = len(next(iter(images.values())))
    for name, channels in images.items():
        if [*channels] != [*range(count)]:
            found = ", ".join(f"{number:04d}" for number in channels)
            raise InputError(f"imagesTr: {name}: expected {counted(count, 'channel')} from 0000 on, got {found}")
    chosen = choose_channels(channel_names(data), count, modalities, data.name)
    return tuple(
        CaseFiles(name, modalities, tuple(images[name][number] for number in chosen), label)
        for name, label in labels.items()
    )


def is_paired(data: Path) -> bool:
    """Whether a folder holds images and labels, and is none of nnU-Net's."""
    return (data / "imagesTr").is_dir() and (data / "labelsTr").is_dir() and not is_nnunet(data)


def find_paired(data: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    """Returns the cases of ``imagesTr`` and ``labelsTr``, as in the Medical Segmentation Decathlon.

    Raises:
        InputError: Images and labels do not fit together, or the model has other inputs.
    """
    return _paired(data, data / "imagesTr", data / "labelsTr", modalities)


def is_monai_label(data: Path) -> bool:
    """Whether a folder is one of studies as MONAI Label keeps them: images, and ``labels/final`` below."""
    return (data / _FINAL_LABELS).is_dir()


def find_monai_label(data: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    """Returns the cases of a study folder.

    Raises:
        InputError: Images and final labels do not fit together, or the model has several inputs.
    """
    return _paired(data, data, data / _FINAL_LABELS, modalities)


def is_patient_folders(data: Path) -> bool:
    """Whether a folder has a folder with an image of a known name and its truth."""
    return data.is_dir() and any(
        (folder / _PATIENT_IMAGE.format(name)).is_file() and (folder / _PATIENT_TRUTH.format(name)).is_file()
        for folder in data.iterdir()
        for name in _IMAGE_NAMES.values()
    )


def find_patient_folders(data: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    """Returns a case for each patient, with the truth of the first modality: ``STS_001_PET``, ``STS_001_PET_CT``.

    Raises:
        OtherModalityError: No patient has such images.
        InputError: One lacks an image or the truth.
    """
    known = [form.format(name) for name in _IMAGE_NAMES.values() for form in (_PATIENT_IMAGE, _PATIENT_TRUTH)]
    folders = sorted(folder for folder in data.iterdir() if any((folder / name).is_file() for name in known))
    cases = tuple(_patient_case(folder, modalities) for folder in folders)
    paths = [path for case in cases for path in (*case.images, case.truth) if path is not None]
    if not any(case.images[0].is_file() for case in cases):
        raise OtherModalityError(f"{data}: no such file in any folder: {cases[0].images[0].name}")
    missing = [path.relative_to(data).as_posix() for path in paths if not path.is_file()]
    if missing:
        raise InputError(f"{data}: no such file: {first_names(missing)}")
    return cases


def is_datalist(data: Path) -> bool:
    """Whether data are a JSON file."""
    return data.is_file() and data.suffix.lower() == ".json"


def find_datalist(data: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    """Returns the cases under ``training``; one without ``label`` is a case in which there is nothing to be found.

    Raises:
        InputError: The file is no datalist, names what does not exist, or its images are not those of the model.
    """
    content = parse(_Datalist, read_json(data, InputError), data.name, InputError)
    names = _case_names([entry.images[0] for entry in content.training])
    cases = tuple(
        _datalist_case(name, entry, content, modalities, data)
        for name, entry in zip(names, content.training, strict=True)
    )
    paths = [path for case in cases for path in (*case.images, case.truth) if path is not None]
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise InputError(
            f"{data.name}: no such file or folder: {first_names(missing)}", hint="paths are relative to it"
        )
    return cases


def _by_case(images: Mapping[str, Path]) -> dict[str, dict[int, Path]]:
    cases: dict[str, dict[int, Path]] = {}
    for name, path in images.items():
        match = _NUMBERED.fullmatch(name)
        if match:
            cases.setdefault(match["case"], {})[int(match["channel"])] = path
    return cases


def _check_pairs(images: Collection[str], labels: Collection[str], where: Path) -> None:
    """Refuses images without labels and labels without images, by their names.

    Raises:
        InputError: There are some, or there is nothing at all.
    """
    alone, over = sorted({*images} - {*labels}), sorted({*labels} - {*images})
    if alone or over:
        kinds = [(alone, "image", "a label"), (over, "label", "an image")]
        said = [f"{counted(len(names), kind)} without {of}: {first_names(names)}" for names, kind, of in kinds if names]
        raise InputError(f"{where}: {'; '.join(said)}", hint=DATALIST_HINT)
    if not images:
        raise InputError(f"{where}: no images: expected files ending in {', '.join(ENDINGS)}")


def _paired(data: Path, images: Path, labels: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    found, truths = images_in(images), images_in(labels)
    _check_pairs(found, truths, data)
    choose_channels(channel_names(data), 1, modalities, data.name)
    return tuple(CaseFiles(name, modalities, (path,), truths[name]) for name, path in found.items())


def _patient_case(folder: Path, modalities: tuple[str, ...]) -> CaseFiles:
    names = [_IMAGE_NAMES[modality] for modality in modalities]
    images = tuple(folder / _PATIENT_IMAGE.format(name) for name in names)
    return CaseFiles("_".join([folder.name, *names]), modalities, images, folder / _PATIENT_TRUTH.format(names[0]))


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    image: _Name | Annotated[tuple[_Name, ...], Field(min_length=1)]
    label: _Name | None = None
    fold: Annotated[int, Field(ge=0)] | None = None

    @property
    def images(self) -> tuple[str, ...]:
        return (self.image,) if isinstance(self.image, str) else self.image


class _Datalist(Description):
    training: Annotated[tuple[_Entry, ...], Field(min_length=1)]


def _case_names(images: Sequence[str]) -> list[str]:
    """Returns the names of images without their endings; with their folders, where two would be the same."""
    paths = [Path(image) for image in images]
    short = [stem_of(path) for path in paths]
    if len({*short}) == len(short):
        return short
    return ["_".join(part for part in (*path.parent.parts, stem_of(path)) if part.strip("./")) for path in paths]


def _datalist_case(name: str, entry: _Entry, content: _Datalist, modalities: tuple[str, ...], data: Path) -> CaseFiles:
    chosen = choose_channels(content.channels(data.name), len(entry.images), modalities, f"{data.name}: {name}")
    images = tuple(data.parent / entry.images[number] for number in chosen)
    return CaseFiles(name, modalities, images, data.parent / entry.label if entry.label else None, entry.fold)
