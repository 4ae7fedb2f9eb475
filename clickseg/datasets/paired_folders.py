"""Folders with images and labels of the same names: ``imagesTr`` and ``labelsTr``, or the studies of MONAI Label."""

from __future__ import annotations

from pathlib import Path

from clickseg.datasets.case import CaseFiles
from clickseg.datasets.channels import channel_names, choose_channels
from clickseg.datasets.files import check_pairs, images_in
from clickseg.datasets.nnunet import is_nnunet

_FINAL = Path("labels", "final")


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
    return (data / _FINAL).is_dir()


def find_monai_label(data: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    """Returns the cases of a study folder.

    Raises:
        InputError: Images and final labels do not fit together, or the model has several inputs.
    """
    return _paired(data, data, data / _FINAL, modalities)


def _paired(data: Path, images: Path, labels: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    found, truths = images_in(images), images_in(labels)
    check_pairs(found, truths, data)
    choose_channels(channel_names(data), 1, modalities, data.name)
    return tuple(CaseFiles(name, modalities, (path,), truths[name]) for name, path in found.items())
