"""Formats of datasets of image files: how each format is recognized, and how its cases are found.

- Raw datasets of nnU-Net: ``imagesTr/X_0000.nii.gz`` (a number for each channel) and ``labelsTr/X.nii.gz``.
- Images and labels with the same names: ``imagesTr`` and ``labelsTr``, or the study folders of MONAI Label.
- A folder for each patient: ``STS_001/PET.nii.gz`` with ``STS_001/PET_gtv.nii.gz``; also ``CT`` and ``MR_T1``.
- JSON datalists of MONAI: ``{"training": [{"image": path or paths, "label": path, "fold": 0}]}``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from clickseg.core.errors import InputError
from clickseg.core.text import format_count, join_names
from clickseg.core.validation import read_json, validate_record
from clickseg.datasets.case import DATALIST_HINT, CaseFiles
from clickseg.datasets.channels import DatasetJson, OtherModalityError, choose_channels, read_channel_names
from clickseg.datasets.image_file import IMAGE_EXTENSIONS, find_images, image_stem

_NNUNET_IMAGE = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
"""The name of an nnU-Net image file without extension."""

_FINAL_LABELS = Path("labels", "final")
"""The folder of the final labels of MONAI Label."""

_IMAGE_NAMES = {"PT": "PET", "CT": "CT", "MR": "MR_T1"}
_PATIENT_IMAGE, _PATIENT_TRUTH = "{}.nii.gz", "{}_gtv.nii.gz"
"""The names of image and ground truth files in the folder of a patient."""

_Name = Annotated[str, Field(min_length=1)]


def is_nnunet(data: Path) -> bool:
    """Whether a folder is a raw nnU-Net dataset: all images have a channel number, no label has an image's name."""
    images, labels = data / "imagesTr", data / "labelsTr"
    if not (images.is_dir() and labels.is_dir()):
        return False
    names = find_images(images)
    return bool(names) and all(map(_NNUNET_IMAGE.fullmatch, names)) and not names.keys() & find_images(labels).keys()


def find_nnunet(data: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    """Returns the cases of a raw dataset of nnU-Net; ``dataset.json`` defines the modality of each channel.

    Raises:
        InputError: Images, labels and channels do not match, or the channels are not the inputs of the model.
    """
    images, labels = _group_by_case(find_images(data / "imagesTr")), find_images(data / "labelsTr")
    _check_pairs(images, labels, data)
    count = len(next(iter(images.values())))
    for name, channels in images.items():
        if [*channels] != [*range(count)]:
            numbers = ", ".join(f"{number:04d}" for number in channels)
            raise InputError(f"imagesTr: {name}: expected {format_count(count, 'channel')} from 0000 on, got {numbers}")
    selected = choose_channels(read_channel_names(data), count, modalities, data.name)
    return tuple(
        CaseFiles(name, modalities, tuple(images[name][number] for number in selected), label)
        for name, label in labels.items()
    )


def is_paired(data: Path) -> bool:
    """Whether a folder contains ``imagesTr`` and ``labelsTr``, and is not a raw dataset of nnU-Net."""
    return (data / "imagesTr").is_dir() and (data / "labelsTr").is_dir() and not is_nnunet(data)


def find_paired(data: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    """Returns the cases of ``imagesTr`` and ``labelsTr``, as in the Medical Segmentation Decathlon.

    Raises:
        InputError: Images and labels do not match, or the model has other inputs.
    """
    return _find_pairs(data, data / "imagesTr", data / "labelsTr", modalities)


def is_monai_label_study(data: Path) -> bool:
    """Whether a folder is a study folder of MONAI Label, with images and a subfolder ``labels/final``."""
    return (data / _FINAL_LABELS).is_dir()


def find_monai_label(data: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    """Returns the cases of a study folder of MONAI Label.

    Raises:
        InputError: Images and final labels do not match, or the model has several inputs.
    """
    return _find_pairs(data, data, data / _FINAL_LABELS, modalities)


def is_patient_folders(data: Path) -> bool:
    """Whether a folder contains a folder with an image of a known name and its ground truth."""
    return data.is_dir() and any(
        (folder / _PATIENT_IMAGE.format(name)).is_file() and (folder / _PATIENT_TRUTH.format(name)).is_file()
        for folder in data.iterdir()
        for name in _IMAGE_NAMES.values()
    )


def find_patient_folders(data: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    """Returns a case for each patient, such as ``STS_001_PET_CT``, with the ground truth of the first modality.

    Raises:
        OtherModalityError: No patient has images of the first modality.
        InputError: An image or the ground truth of a patient is missing.
    """
    file_names = [
        pattern.format(name) for name in _IMAGE_NAMES.values() for pattern in (_PATIENT_IMAGE, _PATIENT_TRUTH)
    ]
    folders = sorted(folder for folder in data.iterdir() if any((folder / name).is_file() for name in file_names))
    cases = tuple(_make_patient_case(folder, modalities) for folder in folders)
    paths = [path for case in cases for path in (*case.images, case.truth) if path is not None]
    if not any(case.images[0].is_file() for case in cases):
        raise OtherModalityError(f"{data}: no such file in any folder: {cases[0].images[0].name}")
    missing = [path.relative_to(data).as_posix() for path in paths if not path.is_file()]
    if missing:
        raise InputError(f"{data}: no such file: {join_names(missing)}")
    return cases


def is_datalist(data: Path) -> bool:
    """Whether a path is a JSON file."""
    return data.is_file() and data.suffix.lower() == ".json"


def find_datalist(data: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    """Returns the cases under ``training``; an entry without ``label`` is a case without foreground.

    Raises:
        InputError: The file is not a datalist, a file does not exist, or the images are not the inputs of the model.
    """
    content = validate_record(_Datalist, read_json(data, InputError), data.name, InputError)
    names = _make_case_names([entry.images[0] for entry in content.training])
    cases = tuple(
        _make_datalist_case(name, entry, content, modalities, data)
        for name, entry in zip(names, content.training, strict=True)
    )
    paths = [path for case in cases for path in (*case.images, case.truth) if path is not None]
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise InputError(
            f"{data.name}: no such file or folder: {join_names(missing)}",
            hint="paths are relative to the folder of the datalist",
        )
    return cases


def _group_by_case(images: Mapping[str, Path]) -> dict[str, dict[int, Path]]:
    """Returns the path of each channel of each case."""
    cases: dict[str, dict[int, Path]] = {}
    for name, path in images.items():
        match = _NNUNET_IMAGE.fullmatch(name)
        if match:
            cases.setdefault(match["case"], {})[int(match["channel"])] = path
    return cases


def _check_pairs(images: Collection[str], labels: Collection[str], where: Path) -> None:
    """Rejects images without labels and labels without images, by their names.

    Raises:
        InputError: An image or a label is missing, or both folders are empty.
    """
    unlabelled, without_image = sorted({*images} - {*labels}), sorted({*labels} - {*images})
    if unlabelled or without_image:
        kinds = [(unlabelled, "image", "a label"), (without_image, "label", "an image")]
        problems = [
            f"{format_count(len(names), kind)} without {missing}: {join_names(names)}"
            for names, kind, missing in kinds
            if names
        ]
        raise InputError(f"{where}: {'; '.join(problems)}", hint=DATALIST_HINT)
    if not images:
        raise InputError(f"{where}: no images: expected files ending in {', '.join(IMAGE_EXTENSIONS)}")


def _find_pairs(data: Path, images: Path, labels: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    image_paths, label_paths = find_images(images), find_images(labels)
    _check_pairs(image_paths, label_paths, data)
    choose_channels(read_channel_names(data), 1, modalities, data.name)
    return tuple(CaseFiles(name, modalities, (path,), label_paths[name]) for name, path in image_paths.items())


def _make_patient_case(folder: Path, modalities: tuple[str, ...]) -> CaseFiles:
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


class _Datalist(DatasetJson):
    training: Annotated[tuple[_Entry, ...], Field(min_length=1)]


def _make_case_names(images: Sequence[str]) -> list[str]:
    """Returns the names of image files without extension; with their folders if two names are equal."""
    paths = [Path(image) for image in images]
    stems = [image_stem(path) for path in paths]
    if len({*stems}) == len(stems):
        return stems
    return ["_".join(part for part in (*path.parent.parts, image_stem(path)) if part.strip("./")) for path in paths]


def _make_datalist_case(
    name: str, entry: _Entry, content: _Datalist, modalities: tuple[str, ...], data: Path
) -> CaseFiles:
    selected = choose_channels(content.channels(data.name), len(entry.images), modalities, f"{data.name}: {name}")
    images = tuple(data.parent / entry.images[number] for number in selected)
    return CaseFiles(name, modalities, images, data.parent / entry.label if entry.label else None, entry.fold)
